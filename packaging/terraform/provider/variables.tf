variable "name" {
  description = "The provider's name."
  type        = string
}

variable "shared" {
  description = "The output `shared` of the module `shared`."
  type = object({
    bucket_arn        = string
    function_role_arn = string
    live_arn          = string
    providers         = list(string)
    stream_prefix     = string
  })
}

variable "settings" {
  description = "The provider's settings, from damper.tfvars.json, which `damper package` writes."
  type = object({
    batch_size         = number
    isolated           = bool
    oldest_alarm_ms    = number
    record_age_seconds = number
    retention_hours    = number
    rotated_secrets    = list(string)
    secrets            = list(string)
  })

  validation {
    condition     = !var.settings.isolated
    error_message = "This module has no isolated providers: package without --isolated, or deploy the CloudFormation templates."
  }
}

variable "shard_count" {
  description = "The number of shards of the stream. Each delivers one batch at a time and accepts 1,000 items a second; max_concurrency holds over all shards."
  type        = number
  default     = 1
}

variable "batching_window_seconds" {
  description = "The seconds to wait for a batch to fill. A longer wait makes fewer and fuller invocations, which cost less."
  type        = number
  default     = 5
}

variable "dead_letters_alarm_threshold" {
  description = "The number of dead letters within five minutes that raises the alarm."
  type        = number
  default     = 1
}

variable "permissions_boundary" {
  description = "The ARN of a policy that bounds the permissions of the role; empty means none."
  type        = string
  default     = ""
}

variable "kms_key_arn" {
  description = "Your KMS key that encrypts the stream, the one of the shared part; empty means a key of AWS."
  type        = string
  default     = ""
}

variable "alarm_topic" {
  description = "The ARN of an SNS topic that alarms are sent to; empty means that alarms only show in CloudWatch."
  type        = string
  default     = ""
}

variable "tags" {
  description = "Tags of all resources that can have some."
  type        = map(string)
  default     = {}
}
