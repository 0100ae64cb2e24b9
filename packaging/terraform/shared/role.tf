# The permissions of the function. The statements have the names that they have in the CloudFormation template.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  name_prefix          = "${substr(var.function_name, 0, 30)}-"
  description          = "The permissions of Damper's function ${var.function_name}"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary != "" ? var.permissions_boundary : null
  tags                 = var.tags
}

resource "aws_iam_role_policy" "function" {
  name   = "damper"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

# A request that names no key would pass the first condition of a statement on the ledger; the second refuses it.
data "aws_iam_policy_document" "function" {
  statement {
    sid       = "Ledger"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"]
    resources = [aws_dynamodb_table.ledger.arn]
    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["r#*", "c#*", "p#*"]
    }
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid       = "LedgerParked"
    actions   = ["dynamodb:DeleteItem"]
    resources = [aws_dynamodb_table.ledger.arn]
    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = ["p#*"]
    }
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid       = "RecordsRead"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.records.arn}/*"]
  }

  # Records are created and never overwritten: a put without If-None-Match is refused.
  statement {
    sid       = "RecordsCreated"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.records.arn}/*"]
    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["false"]
    }
  }

  # The letter of an item that was redriven and failed again is overwritten. Lambda writes batches that a mapping gave up on.
  statement {
    sid       = "LettersWritten"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.records.arn}/dead-letters/*", "${aws_s3_bucket.records.arn}/aws/lambda/*"]
  }

  statement {
    sid       = "RecordsListed"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.records.arn]
  }

  statement {
    sid = "Streams"
    actions = [
      "kinesis:DescribeStream",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetRecords",
      "kinesis:GetShardIterator",
      "kinesis:ListShards",
    ]
    resources = ["arn:${local.partition}:kinesis:${local.region}:${local.account}:stream/${var.stream_prefix}*"]
  }

  # Lambda needs these two when a mapping is created; AWS lets neither be narrowed.
  statement {
    sid       = "StreamsListed"
    actions   = ["kinesis:ListStreams", "lambda:ListEventSourceMappings"]
    resources = ["*"]
  }

  statement {
    sid       = "MappingsOfThisFunction"
    actions   = ["lambda:UpdateEventSourceMapping"]
    resources = ["arn:${local.partition}:lambda:${local.region}:${local.account}:event-source-mapping:*"]
    condition {
      test     = "ArnLike"
      variable = "lambda:FunctionArn"
      values   = [local.function, "${local.function}:*"]
    }
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.function_name}:*"]
  }

  dynamic "statement" {
    for_each = local.has_key ? [true] : []
    content {
      sid = "Key"
      actions = [
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
      ]
      resources = [var.kms_key_arn]
    }
  }

  # Lambda connects the function to the VPC with its role, and the second statement refuses the same to the function's code.
  dynamic "statement" {
    for_each = local.in_vpc ? [true] : []
    content {
      sid = "NetworkInterfaces"
      actions = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = local.in_vpc ? [true] : []
    content {
      sid       = "NoNetworkInterfacesForTheCode"
      effect    = "Deny"
      actions   = ["ec2:*"]
      resources = ["*"]
      condition {
        test     = "ArnEquals"
        variable = "lambda:SourceFunctionArn"
        values   = [local.function]
      }
    }
  }

  # Each provider has a role that may read the secrets of this provider and no other.
  statement {
    sid       = "SecretsOfProviders"
    actions   = ["sts:AssumeRole"]
    resources = [replace(local.secrets_role, "{provider}", "*")]
  }
}
