//! Requests that DynamoDB refuses regardless of the table's content, for example a reserved word in an expression. For
//! each such mistake at least one stand-in refuses it too; a ledger that passes its contract on both therefore makes
//! none.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, TransactWriteItem, Update};

use crate::table::TestTable;

/// The attributes that the ledger's expressions name which are reserved words.
const RESERVED: [&str; 3] = ["owner", "by", "ttl"];

type Attributes = std::collections::HashMap<String, AttributeValue>;

fn key(sort: impl Into<String>) -> Attributes {
    let text = |value: String| AttributeValue::S(value);
    [("pk".to_owned(), text("r#demo#x".to_owned())), ("sk".to_owned(), text(sort.into()))].into()
}

fn one() -> AttributeValue {
    AttributeValue::N("1".to_owned())
}

/// Tries mistakes, and notes those that are taken.
struct MistakeProbe {
    client: Client,
    table: String,
    accepted: Vec<String>,
}

impl MistakeProbe {
    fn record_answer<T, E: ProvideErrorMetadata>(&mut self, mistake: &str, answer: Result<T, E>) {
        let code = answer.err().and_then(|error| error.code().map(str::to_owned));
        if !matches!(code.as_deref(), Some("ValidationException" | "TransactionCanceledException")) {
            self.accepted.push(mistake.to_owned());
        }
    }

    async fn update(&mut self, mistake: &str, how: impl Fn(UpdateItemFluentBuilder) -> UpdateItemFluentBuilder) {
        let update = self.client.update_item().table_name(&self.table).set_key(Some(key("2026-11-22")));
        let answer = how(update.expression_attribute_values(":one", one())).send().await;
        self.record_answer(mistake, answer);
    }

    async fn read(&mut self, mistake: &str, keys: Vec<Attributes>, projection: Option<&str>) {
        let keys = KeysAndAttributes::builder().set_keys(Some(keys));
        let keys = keys.set_projection_expression(projection.map(str::to_owned)).build().unwrap();
        let answer = self.client.batch_get_item().request_items(&self.table, keys).send().await;
        self.record_answer(mistake, answer);
    }

    async fn transact(&mut self, mistake: &str, updates: &[&str]) {
        let item = |expression: &&str| {
            let update = Update::builder().table_name(&self.table).set_key(Some(key("2026-11-22")));
            let update = update.update_expression(*expression).expression_attribute_values(":one", one());
            TransactWriteItem::builder().update(update.build().unwrap()).build()
        };
        let items = updates.iter().map(item).collect();
        let answer = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        self.record_answer(mistake, answer);
    }
}

/// Tries every mistake; returns those that this stand-in accepts.
async fn find_accepted_mistakes(endpoint: &str) -> Vec<String> {
    let test_table = TestTable::new(endpoint).await;
    let mut probe = MistakeProbe { client: test_table.client, table: test_table.table, accepted: Vec::new() };
    for word in RESERVED {
        let bare = format!("SET {word} = :one");
        probe.update(&format!("{word} in an update"), |update| update.update_expression(&bare)).await;
        let absent = format!("attribute_not_exists({word})");
        let condition =
            |update: UpdateItemFluentBuilder| update.update_expression("SET v = :one").condition_expression(&absent);
        probe.update(&format!("{word} in a condition"), condition).await;
        probe.read(&format!("{word} in a projection"), vec![key("2026-11-22")], Some(word)).await;
        probe.transact(&format!("{word} in a transaction"), &[&bare]).await;
    }
    let set = |update: UpdateItemFluentBuilder| update.update_expression("SET v = :one");
    probe.update("a name that is not used", |update| set(update).expression_attribute_names("#by", "by")).await;
    probe.update("a value that is not used", |update| set(update).expression_attribute_values(":two", one())).await;
    probe.update("a path set and added", |update| update.update_expression("SET v = :one ADD v :one")).await;
    probe.update("a path set and removed", |update| update.update_expression("SET v = :one REMOVE v")).await;
    probe.update("an empty key", |update| set(update).set_key(Some(key("")))).await;
    probe.read("a key twice", vec![key("2026-11-22"), key("2026-11-22")], None).await;
    probe.read("more than a hundred keys", (0..101).map(|day| key(day.to_string())).collect(), None).await;
    probe.transact("an item twice", &["SET v = :one", "SET n = :one"]).await;
    probe.accepted
}

#[tokio::test]
async fn what_dynamodb_refuses_whatever_is_there_a_stand_in_refuses_too() {
    let (Some(moto), Some(ministack)) = (damper_stand_ins::moto(), damper_stand_ins::ministack()) else { return };
    let (moto, ministack) =
        (find_accepted_mistakes(moto.endpoint()).await, find_accepted_mistakes(ministack.endpoint()).await);
    let by_both: Vec<_> = moto.iter().filter(|mistake| ministack.contains(mistake)).collect();
    assert!(by_both.is_empty(), "{by_both:?}");
    assert!(!moto.iter().any(|mistake| mistake.contains(" in ")), "reserved words are moto's to refuse: {moto:?}");
}

#[tokio::test]
#[ignore = "for `make test-dynamodb-local`"]
async fn dynamodb_local_refuses_them() {
    let taken = find_accepted_mistakes(damper_stand_ins::dynamodb_local()).await;
    assert!(taken.is_empty(), "{taken:?}");
}
