//! The proxies between the function and AWS's services, and every kind of write that the function sends there.

use std::fmt;

use damper_stand_ins::chaos::{ChaosProxy, Fault, ProxiedRequest, Rule};

/// The seed of all chance in the proxies.
const SEED: u64 = 11;

/// A proxy before the stores (DynamoDB, S3, Kinesis, Secrets Manager), and one before Lambda's API. Without rules they
/// only pass on.
#[derive(Debug)]
pub struct Proxies {
    stores: ChaosProxy,
    plane: ChaosProxy,
}

impl Proxies {
    /// Starts both, each with these rules.
    pub async fn start(stores: &str, plane: &str, rules: &[Rule]) -> Self {
        let stores = ChaosProxy::start(stores, SEED, rules.to_vec()).await.unwrap();
        let plane = ChaosProxy::start(plane, SEED, rules.to_vec()).await.unwrap();
        Self { stores, plane }
    }

    /// The URL of the stores.
    pub fn stores(&self) -> String {
        self.stores.url()
    }

    /// The URL of Lambda's API.
    pub fn plane(&self) -> String {
        self.plane.url()
    }

    /// How many requests a rule has hit so far.
    pub fn hits(&self, rule: impl fmt::Display) -> u64 {
        let rule = rule.to_string();
        self.stores.hits(&rule) + self.plane.hits(&rule)
    }
}

/// A kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// S3: a chunk of records.
    Chunk,
    /// S3: a dead letter.
    Letter,
    /// DynamoDB: a claim.
    Claim,
    /// DynamoDB: a claim of what a dead worker had on an earlier day, which is a transaction.
    TakeOver,
    /// DynamoDB: an item's end.
    Finish,
    /// DynamoDB: a claim is given back.
    Release,
    /// DynamoDB: the slots item.
    Slots,
    /// DynamoDB: the control item.
    Control,
    /// DynamoDB: an entry is parked.
    Park,
    /// DynamoDB: a parked entry is forgotten.
    Unpark,
    /// Lambda: a change of the mapping.
    Mapping,
    /// Kinesis: records that are fed.
    Feed,
}

impl fmt::Display for Write {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Chunk => "S3: a chunk",
            Self::Letter => "S3: a dead letter",
            Self::Claim => "DynamoDB: a claim",
            Self::TakeOver => "DynamoDB: a claim over two days",
            Self::Finish => "DynamoDB: a finish",
            Self::Release => "DynamoDB: a release",
            Self::Slots => "DynamoDB: the slots",
            Self::Control => "DynamoDB: the control item",
            Self::Park => "DynamoDB: an entry is parked",
            Self::Unpark => "DynamoDB: a parked entry is forgotten",
            Self::Mapping => "Lambda: the mapping",
            Self::Feed => "Kinesis: a feed",
        })
    }
}

impl Write {
    /// The kind of a request; `None`: it is no write.
    pub fn of(asked: &ProxiedRequest) -> Option<Self> {
        match &*asked.operation() {
            "s3 PUT" if asked.path.contains("/dead-letters/") => Some(Self::Letter),
            "s3 PUT" => Some(Self::Chunk),
            "lambda PUT" => Some(Self::Mapping),
            "kinesis PutRecords" => Some(Self::Feed),
            "dynamodb TransactWriteItems" => Some(Self::TakeOver),
            "dynamodb DeleteItem" => Some(Self::Unpark),
            "dynamodb UpdateItem" => Some(Self::of_update(&asked.json())),
            _ => None,
        }
    }

    fn of_update(update: &serde_json::Value) -> Self {
        let text = |pointer| update.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
        match (text("/Key/sk/S"), text("/UpdateExpression")) {
            ("slots", _) => Self::Slots,
            ("control", _) => Self::Control,
            (_, change) if change.starts_with("SET st = :inflight") => Self::Claim,
            (_, change) if change.starts_with("SET st = :end") => Self::Finish,
            (_, change) if change.starts_with("SET st = :retry") => Self::Release,
            (_, change) if change.starts_with("SET sq = ") => Self::Park,
            (_, change) => panic!("an update of no kind that is known: {change:?}"),
        }
    }

    /// The answer of the SDK's first try of each write of this kind is lost, so many times.
    pub fn lose_answers(self, times: u64) -> Rule {
        let fits = move |asked: &ProxiedRequest| asked.attempt == 1 && Self::of(asked) == Some(self);
        let rule = Rule::new(self.to_string(), fits, Fault::LoseAnswer).most(times);
        // object_store does not say which try it is: some of its second tries are hit, too.
        if matches!(self, Self::Chunk | Self::Letter) { rule.share(0.5) } else { rule }
    }

    /// Any write of any kind meets this fault with this probability.
    pub fn any(name: &str, fault: Fault, share: f64) -> Rule {
        Rule::new(name, |asked| Self::of(asked).is_some(), fault).share(share)
    }
}
