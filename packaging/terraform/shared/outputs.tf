output "shared" {
  description = "The inputs of the module `provider` from this one."
  value = {
    bucket_arn        = aws_s3_bucket.records.arn
    function_role_arn = aws_iam_role.function.arn
    live_arn          = aws_lambda_alias.live.arn
    providers         = keys(var.package.providers)
    stream_prefix     = var.stream_prefix
  }
}

output "function_name" {
  description = "The function's name, for `damper --aws`."
  value       = aws_lambda_function.this.function_name
}

output "table_name" {
  description = "The ledger's table."
  value       = aws_dynamodb_table.ledger.name
}

output "bucket_name" {
  description = "The bucket of records and dead letters."
  value       = aws_s3_bucket.records.bucket
}

output "live_version" {
  description = "The version that this deployment published."
  value       = aws_lambda_function.this.version
}

output "rollback" {
  description = "Rolls back a bad zip at once. VERSION is the version before it; list them with `aws lambda list-versions-by-function`."
  value       = "aws lambda update-alias --function-name ${var.function_name} --name live --function-version VERSION"
}
