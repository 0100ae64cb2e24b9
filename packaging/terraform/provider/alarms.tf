# --- Alarms of the provider -----------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_metric_alarm" "oldest_item" {
  alarm_name          = "damper-${var.name}-oldest-item"
  alarm_description   = "The oldest item of ${var.name} is within a day of being trimmed from its stream. Lengthen the stream's retention, then find the cause of the lag: `damper status --aws ${var.name}`."
  namespace           = "AWS/Kinesis"
  metric_name         = "GetRecords.IteratorAgeMilliseconds"
  dimensions          = { StreamName = aws_kinesis_stream.this.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 2
  threshold           = var.settings.oldest_alarm_ms
  comparison_operator = "GreaterThanOrEqualToThreshold"
  # A disabled mapping reads nothing and reports no age: missing data keep the alarm's state.
  treat_missing_data = "ignore"
  alarm_actions      = local.actions
  ok_actions         = local.actions
  tags               = local.tags
}

resource "aws_cloudwatch_metric_alarm" "breaker" {
  alarm_name        = "damper-${var.name}-breaker"
  alarm_description = "The breaker of ${var.name} has been open for 15 minutes. If the API is down, it closes when the API works again; if a secret, a release or an operator stopped the provider, an operator must act. `damper status --aws ${var.name}` shows the reason."
  namespace         = "Damper"
  metric_name       = "BreakerState"
  dimensions        = { Provider = var.name }
  # Closed is 0, half-open 1, open 2: the minimum over five minutes ignores a breaker that probes.
  statistic           = "Minimum"
  period              = 300
  evaluation_periods  = 3
  threshold           = 2
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "ignore"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "mending" {
  alarm_name          = "damper-${var.name}-mending"
  alarm_description   = "${var.name} is stopped and needs an operator: a refused secret, a release that cannot run, a path that moved. `damper status --aws ${var.name}` shows the reason. Fix it, then `damper resume --aws ${var.name}`."
  namespace           = "Damper"
  metric_name         = "NeedsMending"
  dimensions          = { Provider = var.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "ignore"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "damper-${var.name}-dead-letters"
  alarm_description   = "Items of ${var.name} were given up on. They are stored with their reasons: `damper dead-letters list --aws --provider ${var.name}`."
  namespace           = "Damper"
  metric_name         = "DeadLetters"
  dimensions          = { Provider = var.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = var.dead_letters_alarm_threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
  tags                = local.tags
}
