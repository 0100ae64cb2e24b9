//! The export of the sink as one stream.

use std::io::{self, Write};

use damper_core::sink::Compression;
use damper_local::export::{BrokenLines, ExportError, ExportSummary, Format, export};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;

const A: &str = r#"{"provider":"demo","id":"a","params":{"lang":"en"},"day":"2026-11-21","fetched_at":"2026-11-21T10:00:00Z","attempt":1,"component":"sha256:00","content_type":"application/json","attributes":{"n":"1"},"body":{"k": 1.10,"t":"x,\"y\""}}"#;
const B: &str = r#"{"provider":"demo","id":"=1+1","day":"2026-11-22","fetched_at":"2026-11-22T10:00:00Z","attempt":2,"component":"sha256:00","content_type":"text/plain","body":"two\nlines, \"quoted\""}"#;
const C: &str = r#"{"provider":"demo","id":"-12.5","day":"2026-11-22","fetched_at":"2026-11-22T10:00:01Z","attempt":1,"component":"sha256:00","content_type":"application/pdf","body":"eA==","encoding":"base64"}"#;

async fn sink(objects: &[(&str, &str)]) -> InMemory {
    let store = InMemory::new();
    for (path, content) in objects {
        store.put(&Path::from(*path), content.to_string().into()).await.unwrap();
    }
    store
}

async fn two_days() -> InMemory {
    sink(&[
        ("demo/2026-11-22/b/000000.ndjson", &format!("{B}\n")),
        ("demo/2026-11-22/b/000001.ndjson", &format!("{C}\n")),
        ("demo/2026-11-22/b/000002.ndjson", ""),
        ("demo/2026-11-21/z/000000.ndjson", &format!("{A}\n")),
        ("demo/2026-11-21/z/notes.txt", "not ours"),
        ("demo-two/2026-11-22/b/000000.ndjson", "another provider's\n"),
    ])
    .await
}

async fn run_export(
    store: &InMemory,
    day: Option<&str>,
    format: Format,
    broken: BrokenLines,
) -> Result<(String, ExportSummary), ExportError> {
    let mut text = Vec::new();
    let day = day.map(|day| day.parse().unwrap());
    let exported = export(store, "demo", day, format, broken, &mut text).await?;
    Ok((String::from_utf8(text).unwrap(), exported))
}

#[tokio::test]
async fn ndjson_is_the_stored_lines_in_the_order_of_days() {
    let store = two_days().await;
    let (text, counts) = run_export(&store, None, Format::Ndjson, BrokenLines::Fail).await.unwrap();
    assert_eq!(text, format!("{A}\n{B}\n{C}\n"));
    assert_eq!(counts, ExportSummary { objects: 4, records: 3, skipped: 0 });
    let (text, _) = run_export(&store, Some("2026-11-21"), Format::Ndjson, BrokenLines::Fail).await.unwrap();
    assert_eq!(text, format!("{A}\n"));
    let (text, counts) = run_export(&store, Some("2026-11-23"), Format::Ndjson, BrokenLines::Fail).await.unwrap();
    assert_eq!((text.as_str(), counts), ("", ExportSummary::default()), "a day without records is no error");
}

/// A reader that is gone, as behind `damper export ... | head`.
struct ClosedPipe;

impl Write for ClosedPipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_is_gone_is_told_as_such_in_each_format() {
    // More than any writer holds back.
    let line = A.replace("x,", &"x".repeat(100_000));
    let store = sink(&[("demo/2026-11-21/z/000000.ndjson", &format!("{line}\n"))]).await;
    for format in [Format::Ndjson, Format::Csv] {
        let exported = export(&store, "demo", None, format, BrokenLines::Fail, &mut ClosedPipe).await;
        let Err(ExportError::Write(error)) = exported else { panic!("{format:?}: {exported:?}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format:?}");
    }
}

#[tokio::test]
async fn compressed_objects_are_exported_beside_others() {
    let store = two_days().await;
    let compressed = Compression::Zstd.pack(format!("{B}\n{C}\n").into_bytes()).await.unwrap();
    let object = Path::from("demo/2026-11-22/c/000000.ndjson.zst");
    store.put(&object, compressed.clone().into()).await.unwrap();
    let (text, counts) = run_export(&store, None, Format::Ndjson, BrokenLines::Fail).await.unwrap();
    assert_eq!(text, format!("{A}\n{B}\n{C}\n{B}\n{C}\n"));
    assert_eq!(counts, ExportSummary { objects: 5, records: 5, skipped: 0 });

    store.put(&object, compressed.slice(..compressed.len() - 5).into()).await.unwrap();
    let error = run_export(&store, None, Format::Ndjson, BrokenLines::Skip).await.unwrap_err().to_string();
    assert!(error.starts_with("demo/2026-11-22/c/000000.ndjson.zst is damaged: its end is missing"), "{error}");
}

#[tokio::test]
async fn csv_has_a_header_and_cells_that_no_spreadsheet_runs() {
    let store = two_days().await;
    let (text, _) = run_export(&store, None, Format::Csv, BrokenLines::Fail).await.unwrap();
    insta::assert_snapshot!(text, @r#"
    provider,id,day,fetched_at,attempt,component,content_type,params,attributes,encoding,body
    demo,a,2026-11-21,2026-11-21T10:00:00Z,1,sha256:00,application/json,"{""lang"":""en""}","{""n"":""1""}",,"{""k"": 1.10,""t"":""x,\""y\""""}"
    demo,'=1+1,2026-11-22,2026-11-22T10:00:00Z,2,sha256:00,text/plain,,,,"two
    lines, ""quoted"""
    demo,-12.5,2026-11-22,2026-11-22T10:00:01Z,1,sha256:00,application/pdf,,,base64,eA==
    "#);
}

#[tokio::test]
async fn a_broken_line_is_named_or_skipped_and_counted() {
    let torn = format!("{B}\nnot json\n[1]\n{{\"a\":1}}\n{C}\n{{\"id\":\"torn");
    let store = sink(&[("demo/2026-11-22/b/000000.ndjson", &torn)]).await;
    for format in [Format::Ndjson, Format::Csv] {
        let error = run_export(&store, None, format, BrokenLines::Fail).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("line 2 of demo/2026-11-22/b/000000.ndjson is broken"), "{message}");
        let (_, counts) = run_export(&store, None, format, BrokenLines::Skip).await.unwrap();
        assert_eq!(counts, ExportSummary { objects: 1, records: 2, skipped: 4 });
    }
}
