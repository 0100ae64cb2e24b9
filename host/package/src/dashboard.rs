//! The dashboard: the charts of one provider, which is chosen at its top, below a line for all of them. Pure.

use serde_json::{Value, json};

/// The placeholder in the widgets for the chosen provider.
const CHOSEN: &str = "chosen-provider";
/// The dashboard's grid has 24 columns.
const WIDTH: u32 = 12;
const HEIGHT: u32 = 6;

/// A chart: its title, its unit, and its metrics.
struct Chart {
    title: &'static str,
    unit: &'static str,
    metrics: Vec<Value>,
}

/// The dashboard as JSON with `${AWS::Region}` in it; `provider` is shown first.
pub(crate) fn body(provider: &str) -> String {
    let mut widgets = vec![overview("Breakers: 0 closed, 1 half-open, 2 open", "BreakerState", "Maximum", 0)];
    widgets.push(overview("Dead letters", "DeadLetters", "Sum", WIDTH));
    for (index, chart) in (0_u32..).zip(charts()) {
        let (column, row) = (index % 2, index / 2 + 1);
        widgets.push(json!({
            "type": "metric", "x": column * WIDTH, "y": row * HEIGHT, "width": WIDTH, "height": HEIGHT,
            "properties": {
                "title": format!("{CHOSEN}: {}", chart.title), "region": "${AWS::Region}", "view": "timeSeries",
                "period": 60,
                "yAxis": { "left": { "label": chart.unit, "min": 0, "showUnits": false } },
                "metrics": chart.metrics,
            }
        }));
    }
    let choice = json!({
        "type": "pattern", "pattern": CHOSEN, "inputType": "select", "id": "provider", "label": "Provider",
        "defaultValue": provider, "visible": true,
        "search": "{Damper,Provider} MetricName=\"BatchSize\"", "populateFrom": "Provider",
    });
    let body = json!({ "start": "-PT3H", "periodOverride": "inherit", "variables": [choice], "widgets": widgets });
    serde_json::to_string_pretty(&body).unwrap_or_default()
}

/// A chart of one metric for all providers, those of the future included.
fn overview(title: &str, metric: &str, statistic: &str, x: u32) -> Value {
    let search = format!("SEARCH('{{Damper,Provider}} MetricName=\"{metric}\"', '{statistic}', 60)");
    json!({
        "type": "metric", "x": x, "y": 0, "width": WIDTH, "height": HEIGHT,
        "properties": {
            "title": title, "region": "${AWS::Region}", "view": "timeSeries", "period": 60,
            "metrics": [[{ "expression": search, "id": "all", "label": "" }]],
        }
    })
}

fn charts() -> Vec<Chart> {
    let chart = |title, unit, metrics| Chart { title, unit, metrics };
    let failed = format!("SEARCH('{{Damper,Kind,Provider}} MetricName=\"Failed\" Provider=\"{CHOSEN}\"', 'Sum', 60)");
    vec![
        chart("latency of a fetch", "ms", vec![damper("LatencyP50", "Average"), damper("LatencyP99", "Maximum")]),
        chart("batch size", "items", vec![damper("BatchSize", "Average")]),
        chart(
            "requests in flight, and their limit",
            "requests",
            vec![damper("InFlight", "Maximum"), damper("Limit", "Average")],
        ),
        chart("fetched and skipped", "items a minute", vec![damper("Fetched", "Sum"), damper("Skipped", "Sum")]),
        chart(
            "failed, by kind, and throttled",
            "attempts a minute",
            vec![json!([{ "expression": failed, "id": "failed", "label": "" }]), damper("Throttled", "Sum")],
        ),
        chart(
            "dead letters, and the breaker (2: open)",
            "",
            vec![damper("DeadLetters", "Sum"), damper("BreakerState", "Maximum")],
        ),
        chart("quota left today", "requests", vec![damper("QuotaLeft", "Minimum")]),
        chart(
            "age of the oldest item",
            "ms",
            vec![json!([
                "AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", format!("${{StreamPrefix}}{CHOSEN}"),
                { "stat": "Maximum" }
            ])],
        ),
    ]
}

fn damper(metric: &str, statistic: &str) -> Value {
    json!(["Damper", metric, "Provider", CHOSEN, { "stat": statistic }])
}
