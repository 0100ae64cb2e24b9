# A deployment of all packaged providers. Copy it beside your other Terraform code, and name the modules' place.
#
#     damper package
#     terraform apply -var-file=../dist/damper.tfvars.json -var code_bucket=CODE

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.70, < 7.0"
    }
  }
}

variable "package" {
  description = "The package, from damper.tfvars.json, which `damper package` writes."
  type        = any
}

variable "code_bucket" {
  description = "The bucket that the zip is uploaded to."
  type        = string
}

variable "alarm_topic" {
  description = "The ARN of an SNS topic for alarms."
  type        = string
  default     = ""
}

module "damper" {
  source      = "../shared"
  package     = var.package
  dist        = "${path.root}/../dist"
  code_bucket = var.code_bucket
  alarm_topic = var.alarm_topic
}

# A stack for each provider. What differs for one goes into a module call of its own.
module "provider" {
  source      = "../provider"
  for_each    = var.package.providers
  name        = each.key
  settings    = each.value
  shared      = module.damper.shared
  alarm_topic = var.alarm_topic
}

output "rollback" {
  value = module.damper.rollback
}
