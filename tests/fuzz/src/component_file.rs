//! A provider's file: read, looked through as before it is compiled, given another manifest and another stamp, and read
//! again.

use damper_plugins::component_file::{ComponentFile, SdkStamp, embed_manifest, embed_stamp};
use damper_plugins::fuzzing::check_code;

use crate::message::check_message;

const NAME: &str = "fuzzed.wasm";
const MANIFEST: &str = "name = \"fuzzed\"\nversion = \"1.2.3\"\n[egress]\nhosts = [\"api.example.org\"]\n";

/// Reading never panics, and its messages are bounded. A file that was read can be given another manifest and another
/// stamp; all else stays as it was.
pub fn component_file(data: &[u8]) {
    if let Err(error) = check_code(data) {
        check_message(&error.to_string());
    }
    let file = match ComponentFile::from_bytes(NAME, data.to_vec()) {
        Ok(file) => file,
        Err(error) => return check_message(&error.to_string()),
    };
    let changed = embed_manifest(&file.bytes, MANIFEST).expect("a component takes another manifest");
    let stamp = SdkStamp { wit: "0.1.0".to_owned(), sdk: "9.9.9".to_owned(), language: language(&file) };
    let changed = embed_stamp(&changed, &stamp).expect("a component takes a stamp");
    let again = ComponentFile::from_bytes(NAME, changed.clone()).expect("what was read once is read again");
    assert_eq!(again.manifest_text, MANIFEST);
    assert_eq!(again.stamp, Some(stamp));
    assert_eq!((again.imports, again.exports, again.contract), (file.imports, file.exports, file.contract));
    assert_eq!(embed_manifest(&changed, MANIFEST).map(|bytes| bytes.len()).ok(), Some(changed.len()), "it is replaced");
}

/// The stamp's language, which decides how the imports are judged.
fn language(file: &ComponentFile) -> String {
    file.stamp.as_ref().map(|stamp| stamp.language.clone()).unwrap_or_default()
}
