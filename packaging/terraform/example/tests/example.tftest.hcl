# The modules with a provider that only pretends: `terraform test` (1.11) needs the provider's schema, and no account.
# All is planned and nothing applied, because what has prevent_destroy could not be taken away after a test.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/damper" }
  }
  mock_resource "aws_lambda_function" {
    defaults = {
      arn         = "arn:aws:lambda:eu-central-1:123456789012:function:damper"
      code_sha256 = "A0yyWYXQnHGOZy3C1Bf5nq3F8oV0kM2e0cJ8s9uQYy0="
      version     = "7"
    }
  }
  mock_resource "aws_lambda_alias" {
    defaults = { arn = "arn:aws:lambda:eu-central-1:123456789012:function:damper:live" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::damper-records" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/damper-ledger" }
  }
  mock_resource "aws_kinesis_stream" {
    defaults = { arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/damper-gleif" }
  }
  mock_resource "aws_cloudwatch_event_rule" {
    defaults = { arn = "arn:aws:events:eu-central-1:123456789012:rule/damper-tick" }
  }
}

variables {
  code_bucket = "code"
  package = {
    code = {
      arm64 = {
        file   = "damper-arm64.zip"
        key    = "damper-arm64-0123456789abcdef.zip"
        sha256 = "A0yyWYXQnHGOZy3C1Bf5nq3F8oV0kM2e0cJ8s9uQYy0="
      }
    }
    dashboard             = "{\"region\":\"$${AWS::Region}\"}"
    least_timeout_seconds = 60
    providers = {
      gleif = {
        batch_size         = 500
        isolated           = false
        oldest_alarm_ms    = 518400000
        record_age_seconds = 601200
        retention_hours    = 168
        rotated_secrets    = []
        secrets            = ["damper/gleif"]
      }
      demo = {
        batch_size         = 5
        isolated           = false
        oldest_alarm_ms    = 518400000
        record_age_seconds = -1
        retention_hours    = 215
        rotated_secrets    = []
        secrets            = []
      }
    }
  }
}

run "deploys_every_packaged_provider" {
  command = plan
  assert {
    condition     = module.provider["gleif"].stream_name == "damper-gleif" && module.provider["demo"].stream_name == "damper-demo"
    error_message = "each provider has a stream"
  }
  assert {
    condition     = sort(module.damper.shared.providers) == tolist(["demo", "gleif"])
    error_message = "the shared part knows its providers"
  }
}

run "a_provider_with_secrets_has_a_role_that_the_function_can_name" {
  command = plan
  module {
    source = "../provider"
  }
  variables {
    name     = "gleif"
    settings = var.package.providers.gleif
    shared = {
      bucket_arn        = "arn:aws:s3:::records"
      function_role_arn = "arn:aws:iam::123456789012:role/damper"
      live_arn          = "arn:aws:lambda:eu-central-1:123456789012:function:damper:live"
      providers         = ["gleif"]
      stream_prefix     = "damper-"
    }
  }
  assert {
    condition     = aws_iam_role.secrets[0].name == "damper-gleif-eu-central-1" && aws_iam_role.secrets[0].path == "/damper/"
    error_message = "DAMPER_SECRETS_ROLE names this role"
  }
}

run "a_provider_that_is_not_packaged_is_an_error" {
  command = plan
  module {
    source = "../provider"
  }
  variables {
    name     = "gone"
    settings = var.package.providers.demo
    shared = {
      bucket_arn        = "arn:aws:s3:::records"
      function_role_arn = "arn:aws:iam::123456789012:role/damper"
      live_arn          = "arn:aws:lambda:eu-central-1:123456789012:function:damper:live"
      providers         = ["gleif"]
      stream_prefix     = "damper-"
    }
  }
  expect_failures = [aws_kinesis_stream.this]
}

run "the_function_is_in_a_vpc_if_it_has_subnets" {
  command = plan
  module {
    source = "../shared"
  }
  variables {
    dist               = "../dist"
    subnet_ids         = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]
  }
  assert {
    condition     = one(aws_lambda_function.this.vpc_config).subnet_ids == toset(["subnet-0123456789abcdef0"])
    error_message = "it has the subnets"
  }
  assert {
    condition     = contains([for statement in data.aws_iam_policy_document.function.statement : statement.sid], "NetworkInterfaces")
    error_message = "its role may connect it"
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables.DAMPER_SECRETS_ROLE == "arn:aws:iam::123456789012:role/damper/damper-{provider}-eu-central-1"
    error_message = "it knows the roles of providers"
  }
  assert {
    condition     = aws_cloudwatch_dashboard.this.dashboard_body == "{\"region\":\"eu-central-1\"}"
    error_message = "the dashboard names the region"
  }
}

run "subnets_need_security_groups" {
  command = plan
  module {
    source = "../shared"
  }
  variables {
    dist       = "../dist"
    subnet_ids = ["subnet-0123456789abcdef0"]
  }
  expect_failures = [aws_lambda_function.this]
}

run "another_zip_than_the_packaged_one_is_an_error" {
  command = plan
  module {
    source = "../shared"
  }
  override_resource {
    target          = aws_lambda_function.this
    override_during = plan
    values          = { code_sha256 = "another" }
  }
  variables {
    dist = "../dist"
  }
  expect_failures = [aws_lambda_function.this]
}
