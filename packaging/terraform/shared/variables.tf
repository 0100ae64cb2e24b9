variable "package" {
  description = "The package, from damper.tfvars.json, which `damper package` writes: the zips, the providers and the dashboard."
  type = object({
    code = map(object({
      file   = string
      key    = string
      sha256 = string
    }))
    dashboard             = string
    least_timeout_seconds = number
    providers = map(object({
      batch_size         = number
      isolated           = bool
      oldest_alarm_ms    = number
      record_age_seconds = number
      retention_hours    = number
      rotated_secrets    = list(string)
      secrets            = list(string)
    }))
  })

  validation {
    condition     = !anytrue([for provider in values(var.package.providers) : provider.isolated])
    error_message = "This module has no isolated providers: package without --isolated, or deploy the CloudFormation templates."
  }
}

variable "dist" {
  description = "The folder that `damper package` wrote; the zip is uploaded from it."
  type        = string
}

variable "code_bucket" {
  description = "The bucket that the zip is uploaded to, in this region."
  type        = string
}

variable "code_prefix" {
  description = "The prefix of the zip's key. The zip's name follows, which contains its digest."
  type        = string
  default     = "damper/"
}

variable "code_signing_config_arn" {
  description = "A code signing configuration of Lambda, which then accepts only zips that its profiles signed; it needs signed_code_key."
  type        = string
  default     = ""
}

variable "signed_code_key" {
  description = "With code_signing_config_arn, the key in code_bucket of the signed zip that AWS Signer wrote for the latest package."
  type        = string
  default     = "damper/signed.zip"
}

variable "architecture" {
  description = "The processor to run on, one that was packaged: arm64, which costs a fifth less, or x86_64."
  type        = string
  default     = "arm64"
}

variable "function_name" {
  description = "The function's name, which is also part of its log group's name."
  type        = string
  default     = "damper"
}

variable "memory_size" {
  description = "Memory in MB. The CPU share grows with it; 1769 MB give one whole vCPU."
  type        = number
  default     = 256
}

variable "timeout_seconds" {
  description = "The timeout of an invocation, in seconds. Damper ends each invocation before it."
  type        = number
  default     = 900
}

variable "reserved_concurrency" {
  description = "Reserved concurrency, taken from the account's pool. Use at least one for each shard of every stream, plus three; 0 reserves nothing."
  type        = number
  default     = 0
}

variable "compression" {
  description = "The compression of new records: none, or zstd, which writes CHUNK.ndjson.zst. Existing records stay readable."
  type        = string
  default     = "none"
}

variable "stream_prefix" {
  description = "The prefix of each stream's name; the provider's name follows."
  type        = string
  default     = "damper-"
}

variable "record_expiry_days" {
  description = "The number of days after which records and dead letters are deleted; 0 keeps them."
  type        = number
  default     = 0
}

variable "old_version_days" {
  description = "The number of days for which a deleted or overwritten object can be restored."
  type        = number
  default     = 30
}

variable "log_retention_days" {
  description = "The retention of the log, in days."
  type        = number
  default     = 30
}

variable "subnet_ids" {
  description = "Private subnets for the function; none means no VPC. They need a NAT gateway, or endpoints for AWS's services."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "With subnet_ids, the function's security groups. They must allow TCP 443 outwards, and whatever else the APIs need."
  type        = list(string)
  default     = []
}

variable "permissions_boundary" {
  description = "The ARN of a policy that bounds the permissions of the role; empty means none."
  type        = string
  default     = ""
}

variable "kms_key_arn" {
  description = "Your KMS key that encrypts table, bucket, log and environment; empty means keys of AWS. Its key policy must let CloudWatch Logs use it."
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
