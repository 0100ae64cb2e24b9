//! AWS's DynamoDB Local, which this project neither contains nor downloads: its licence is AWS's own, and its users
//! have to accept that. `make test-dynamodb-local` runs what needs it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::environment::{DynamodbLocal, dynamodb_local as named, say};
use crate::server::free_port;
use crate::tied::TiedProcess;

/// Java starts in some seconds; a machine that is busy building may take a while longer.
const START_TIME: Duration = Duration::from_secs(120);

/// The instructions that are printed if nobody has named one.
const HOW: &str = "name AWS's DynamoDB Local: `make test-dynamodb-local DYNAMODB_LOCAL=DIR`, the folder that AWS's archive unpacks \
    to (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.html; needs Java 17), or \
    DYNAMODB_LOCAL_URL=http://127.0.0.1:8000 where one runs";

/// The endpoint of the DynamoDB Local of this process; only for tests that nobody runs without asking for them.
///
/// # Panics
/// If there is none, with instructions.
#[must_use]
pub fn dynamodb_local() -> &'static str {
    static LOCAL: OnceLock<Result<Local, String>> = OnceLock::new();
    match LOCAL.get_or_init(find) {
        Ok(local) => &local.endpoint,
        Err(why) => panic!("{why}"),
    }
}

struct Local {
    endpoint: String,
    /// It ends with the process.
    _running: Option<TiedProcess>,
}

fn find() -> Result<Local, String> {
    match named() {
        DynamodbLocal::At(endpoint) => {
            say(&format!("stand-ins: DynamoDB Local is the one that runs on {endpoint}"));
            Ok(Local { endpoint, _running: None })
        }
        DynamodbLocal::In(folder) => start(&folder),
        DynamodbLocal::Nowhere => Err(HOW.to_owned()),
    }
}

fn start(folder: &Path) -> Result<Local, String> {
    let jar = folder.join("DynamoDBLocal.jar");
    if !jar.is_file() {
        return Err(format!("there is no {}: {HOW}", jar.display()));
    }
    let port = free_port()?;
    let mut java = TiedProcess::start(Path::new("java"), |command: &mut Command| {
        command.arg(format!("-Djava.library.path={}", folder.join("DynamoDBLocal_lib").display()));
        command.arg("-jar").arg(&jar).args(["-inMemory", "-port", &port.to_string()]);
        command.env("DDB_LOCAL_TELEMETRY", "0");
    })?;
    java.wait_for_port(port, START_TIME).map_err(|error| format!("DynamoDB Local does not run: {error}"))?;
    let endpoint = format!("http://127.0.0.1:{port}");
    say(&format!("stand-ins: DynamoDB Local runs on {endpoint}"));
    Ok(Local { endpoint, _running: Some(java) })
}
