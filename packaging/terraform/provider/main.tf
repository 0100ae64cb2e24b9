# One provider: its stream, the mapping from it to the shared function, the role for its secrets, and its alarms. The same
# as the CloudFormation template providers/NAME.yaml; a test compares both (host/package/src/terraform/tests.rs).

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account     = data.aws_caller_identity.current.account_id
  partition   = data.aws_partition.current.partition
  region      = data.aws_region.current.name
  has_key     = var.kms_key_arn != ""
  has_secrets = length(var.settings.secrets) > 0
  actions     = var.alarm_topic != "" ? [var.alarm_topic] : []
  tags        = merge(var.tags, { "damper:provider" = var.name })
  secret_arn  = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:"
}

# Destroying it deletes its pending items.
resource "aws_kinesis_stream" "this" {
  name             = "${var.shared.stream_prefix}${var.name}"
  shard_count      = var.shard_count
  retention_period = var.settings.retention_hours
  encryption_type  = "KMS"
  kms_key_id       = local.has_key ? var.kms_key_arn : "alias/aws/kinesis"
  tags             = local.tags

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }

  lifecycle {
    precondition {
      condition     = contains(var.shared.providers, var.name)
      error_message = "${var.name} is not in the package: the function would stop it. Destroy this module first, or package the provider too."
    }
  }
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn                   = aws_kinesis_stream.this.arn
  function_name                      = var.shared.live_arn
  starting_position                  = "TRIM_HORIZON"
  batch_size                         = var.settings.batch_size
  maximum_batching_window_in_seconds = var.batching_window_seconds
  parallelization_factor             = 1
  bisect_batch_on_function_error     = false
  function_response_types            = ["ReportBatchItemFailures"]
  # Damper counts attempts itself: the mapping must not discard what an open breaker holds back.
  maximum_retry_attempts        = -1
  maximum_record_age_in_seconds = var.settings.record_age_seconds
  tags                          = local.tags

  destination_config {
    on_failure {
      destination_arn = var.shared.bucket_arn
    }
  }

  # These are initial values. The governor then changes the batch size, and disables and enables the mapping.
  lifecycle {
    ignore_changes = [batch_size, enabled]
  }

  depends_on = [aws_iam_role_policy.secrets]
}

# --- The role that the function assumes to read the secrets of this provider ----------------------------------------------------

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [var.shared.function_role_arn]
    }
  }
}

data "aws_iam_policy_document" "secrets" {
  # Secrets Manager ends each ARN with six characters of its own.
  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for name in var.settings.secrets : startswith(name, "arn:") ? name : "${local.secret_arn}${name}-??????"]
  }

  dynamic "statement" {
    for_each = length(var.settings.rotated_secrets) > 0 ? [true] : []
    content {
      sid       = "RotatedSecrets"
      actions   = ["secretsmanager:PutSecretValue"]
      resources = [for name in var.settings.rotated_secrets : startswith(name, "arn:") ? name : "${local.secret_arn}${name}-??????"]
    }
  }

  dynamic "statement" {
    for_each = local.has_key ? [true] : []
    content {
      sid       = "Key"
      actions   = length(var.settings.rotated_secrets) > 0 ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["secretsmanager.*"]
      }
    }
  }
}

resource "aws_iam_role" "secrets" {
  count                = local.has_secrets ? 1 : 0
  name                 = "${var.shared.stream_prefix}${var.name}-${local.region}"
  path                 = "/damper/"
  description          = "Reads the secrets of Damper's provider ${var.name}"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  permissions_boundary = var.permissions_boundary != "" ? var.permissions_boundary : null
  tags                 = local.tags
}

resource "aws_iam_role_policy" "secrets" {
  count  = local.has_secrets ? 1 : 0
  name   = "secrets"
  role   = aws_iam_role.secrets[0].id
  policy = data.aws_iam_policy_document.secrets.json
}

output "stream_name" {
  description = "The stream to feed, for `damper feed --aws`."
  value       = aws_kinesis_stream.this.name
}

output "mapping_id" {
  description = "The mapping's UUID."
  value       = aws_lambda_event_source_mapping.this.uuid
}
