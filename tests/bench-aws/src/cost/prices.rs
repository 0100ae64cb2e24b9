//! From what was used to what it costs: published prices, and the table.

/// AWS's list prices in us-east-1, in dollars, 2026-11.
mod dollars {
    /// A GB-second of Lambda on x86_64, first tier; arm64 is a fifth less.
    pub(super) const GB_SECOND: f64 = 0.000_016_666_7;
    /// An invocation.
    pub(super) const INVOCATION: f64 = 0.20 / 1e6;
    /// A write request unit on demand, standard table.
    pub(super) const WRITE_UNIT: f64 = 0.625 / 1e6;
    /// A read request unit.
    pub(super) const READ_UNIT: f64 = 0.125 / 1e6;
    /// A PUT of S3.
    pub(super) const PUT: f64 = 0.005 / 1e3;
}

/// The function's memory.
const GB: f64 = 0.256 / 1.024;
/// The share of a processor that 256 MB gets: one at 1,769 MB.
const PROCESSOR: f64 = 256.0 / 1_769.0;
/// The largest accepted ratio of our cost to the article's, invocations and compute together.
const WANTED_SHARE: f64 = 0.2;

/// The resources that some records used.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    pub(crate) records: f64,
    pub(crate) invocations: f64,
    pub(crate) billed_seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    pub(crate) puts: f64,
    pub(crate) control_calls: f64,
}

/// A million records' worth of it, priced.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    used: Use,
    invocations: f64,
    compute: f64,
    /// At worst: where CPU time takes seven times as long, at this memory's share of a processor.
    compute_at_most: f64,
    units: f64,
    puts: f64,
}

impl Bill {
    fn of(used: &Use) -> Self {
        let times = 1e6 / used.records;
        let per_million = Use {
            records: 1e6,
            invocations: used.invocations * times,
            billed_seconds: used.billed_seconds * times,
            cpu_seconds: used.cpu_seconds * times,
            write_units: used.write_units * times,
            read_units: used.read_units * times,
            puts: used.puts * times,
            control_calls: used.control_calls * times,
        };
        let compute = |seconds: f64| seconds * GB * dollars::GB_SECOND;
        let slowed = per_million.cpu_seconds * (1.0 / PROCESSOR - 1.0);
        Self {
            invocations: per_million.invocations * dollars::INVOCATION,
            compute: compute(per_million.billed_seconds),
            compute_at_most: compute(per_million.billed_seconds + slowed),
            units: per_million.write_units * dollars::WRITE_UNIT + per_million.read_units * dollars::READ_UNIT,
            puts: per_million.puts * dollars::PUT,
            used: per_million,
        }
    }

    /// The table of some designs, the first of which is the measure of the others.
    pub(crate) fn table(designs: &[(&str, &Use)]) -> String {
        let bills: Vec<Self> = designs.iter().map(|(_, used)| Self::of(used)).collect();
        let names: Vec<&str> = designs.iter().map(|(name, _)| *name).collect();
        let mut lines = vec![line("per million records", names), line("---", designs.iter().map(|_| "---:"))];
        let mut row = |name: &str, figure: &dyn Fn(&Self) -> String| lines.push(line(name, bills.iter().map(figure)));
        row("invocations", &|bill| format!("{:.0}", bill.used.invocations));
        row("billed, s", &|bill| format!("{:.0}", bill.used.billed_seconds));
        row("CPU, s", &|bill| format!("{:.0}", bill.used.cpu_seconds));
        row("write request units", &|bill| format!("{:.0}", bill.used.write_units));
        row("read request units", &|bill| format!("{:.0}", bill.used.read_units));
        row("PUTs of S3", &|bill| format!("{:.0}", bill.used.puts));
        row("calls of the control plane", &|bill| format!("{:.0}", bill.used.control_calls));
        row("$ invocations", &|bill| format!("{:.2}", bill.invocations));
        row("$ compute", &|bill| format!("{:.2}", bill.compute));
        row("$ compute, CPU at 256 MB's share", &|bill| format!("{:.2}", bill.compute_at_most));
        row("$ DynamoDB", &|bill| format!("{:.2}", bill.units));
        row("$ S3", &|bill| format!("{:.2}", bill.puts));
        row("$ all", &|bill| format!("{:.2}", bill.invocations + bill.compute_at_most + bill.units + bill.puts));
        if let Some(first) = bills.first() {
            row(&format!("invocations and compute, of the first (wanted: {WANTED_SHARE})"), &|bill| {
                let cost = |bill: &Self| bill.invocations + bill.compute_at_most;
                format!("{:.3}", cost(bill) / cost(first))
            });
            row("DynamoDB, of the first (wanted: 1)", &|bill| format!("{:.3}", bill.units / first.units));
        }
        lines.concat()
    }
}

/// A line of a table.
fn line<Cell: std::fmt::Display>(name: &str, cells: impl IntoIterator<Item = Cell>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.to_string()).collect();
    format!("| {name} | {} |\n", cells.join(" | "))
}

/// Print where the prices are from.
pub(crate) fn print_sources() {
    println!(
        "Prices: us-east-1, x86_64: ${} a GB-s, ${} a million invocations, ${} and ${} a million write and read request units,",
        dollars::GB_SECOND,
        dollars::INVOCATION * 1e6,
        dollars::WRITE_UNIT * 1e6,
        dollars::READ_UNIT * 1e6
    );
    println!(
        "${} a thousand PUTs (aws.amazon.com/lambda/pricing, /dynamodb/pricing/on-demand, /s3/pricing; November 2026).",
        dollars::PUT * 1e3
    );
    println!("Not in it, and alike for both: the stream, logs, traffic.");
}
