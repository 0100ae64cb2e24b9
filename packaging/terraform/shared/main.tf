# Damper's shared part: the function, its ledger and its bucket. The same as the CloudFormation template damper.yaml; a
# test compares both (host/package/src/terraform/tests.rs).

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  code      = var.package.code[var.architecture]
  is_signed = var.code_signing_config_arn != ""
  has_key   = var.kms_key_arn != ""
  in_vpc    = length(var.subnet_ids) > 0
  actions   = var.alarm_topic != "" ? [var.alarm_topic] : []
  function  = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.function_name}"
  # Roles that may read the secrets of one provider each, with the provider's name in place of `{provider}`.
  secrets_role = "arn:${local.partition}:iam::${local.account}:role/damper/${var.stream_prefix}{provider}-${local.region}"
}

# --- The code -------------------------------------------------------------------------------------------------------------------

resource "aws_s3_object" "code" {
  bucket      = var.code_bucket
  key         = "${var.code_prefix}${local.code.key}"
  source      = "${var.dist}/${local.code.file}"
  source_hash = local.code.sha256
  tags        = var.tags
}

# --- The function: one version a deployment, and the alias `live` that everything invokes ---------------------------------------

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.has_key ? var.kms_key_arn : null
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  function_name           = var.function_name
  description             = "Damper: fetches records for all providers"
  runtime                 = "provided.al2023"
  handler                 = "bootstrap"
  architectures           = [var.architecture]
  s3_bucket               = var.code_bucket
  s3_key                  = local.is_signed ? var.signed_code_key : aws_s3_object.code.key
  source_code_hash        = local.is_signed ? null : local.code.sha256
  code_signing_config_arn = local.is_signed ? var.code_signing_config_arn : null
  kms_key_arn             = local.has_key ? var.kms_key_arn : null
  memory_size             = var.memory_size
  timeout                 = var.timeout_seconds
  # -1 reserves nothing.
  reserved_concurrent_executions = var.reserved_concurrency > 0 ? var.reserved_concurrency : -1
  role                           = aws_iam_role.function.arn
  # Each change makes a version. Earlier ones stay, to roll back to.
  publish = true
  tags    = var.tags

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function.name
  }

  environment {
    variables = {
      DAMPER_TABLE            = aws_dynamodb_table.ledger.name
      DAMPER_BUCKET           = aws_s3_bucket.records.bucket
      DAMPER_SINK_COMPRESSION = var.compression
      DAMPER_STREAM_PREFIX    = var.stream_prefix
      DAMPER_ALIAS            = "live"
      DAMPER_SECRETS_ROLE     = local.secrets_role
    }
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [true] : []
    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  lifecycle {
    precondition {
      condition     = contains(keys(var.package.code), var.architecture)
      error_message = "The zip for this architecture is not packaged: damper package --arch ${var.architecture}"
    }
    precondition {
      condition     = var.timeout_seconds >= var.package.least_timeout_seconds && var.timeout_seconds <= 900
      error_message = "timeout_seconds must be ${var.package.least_timeout_seconds} to 900: with less, a fetch could outlast its invocation."
    }
    precondition {
      condition     = !local.in_vpc || length(var.security_group_ids) > 0
      error_message = "subnet_ids needs security_group_ids, too."
    }
    precondition {
      condition     = contains(["none", "zstd"], var.compression)
      error_message = "compression is none or zstd."
    }
    # Only the packaged zip is deployed, by its digest. Signing changes the zip, so then Lambda checks the signature instead.
    postcondition {
      condition     = local.is_signed || self.code_sha256 == local.code.sha256
      error_message = "Lambda has another zip than the one that was packaged: check what lies at the zip's key in the code bucket."
    }
  }

  depends_on = [aws_iam_role_policy.function]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

# --- The tick, every minute; a late one is not retried --------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "tick" {
  name                = "${var.function_name}-tick"
  description         = "Runs Damper's governors, also for streams without batches"
  schedule_expression = "rate(1 minute)"
  state               = "ENABLED"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "tick" {
  rule      = aws_cloudwatch_event_rule.tick.name
  target_id = "live"
  arn       = aws_lambda_alias.live.arn

  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

resource "aws_lambda_permission" "tick" {
  function_name = aws_lambda_function.this.function_name
  qualifier     = aws_lambda_alias.live.name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.tick.arn
}

resource "aws_lambda_function_event_invoke_config" "tick" {
  function_name                = aws_lambda_function.this.function_name
  qualifier                    = aws_lambda_alias.live.name
  maximum_event_age_in_seconds = 60
  maximum_retry_attempts       = 0
}
