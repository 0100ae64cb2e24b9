use proptest::prelude::*;

use super::*;

/// Every row as `line: id params` or `line! problem`.
fn read(bytes: &[u8], format: ItemFormat) -> Vec<String> {
    let mut rows = ItemRows::new(bytes, format).unwrap_or_else(|error| panic!("{error}"));
    let mut read = Vec::new();
    while let Some(ItemRow { line, item }) = rows.next_row().unwrap_or_else(|error| panic!("{error}")) {
        read.push(match item {
            Ok(item) if item.params.is_empty() => format!("{line}: {}", item.id),
            Ok(item) => format!("{line}: {} {:?}", item.id, item.params),
            Err(problem) => format!("{line}! {}", problem.why),
        });
    }
    read
}

#[test]
fn ids_are_lines_without_blanks_marks_and_carriage_returns() {
    let bytes = b"\xef\xbb\xbfa\r\n\r\n  b \n\"c'\n\xff\xfe\n\xe6\x9d\xb1\n  \nlast";
    let expected = ["1: a", "3: b", "4: \"c'", "5! it is not UTF-8 (byte 1)", "6: 東", "8: last"];
    assert_eq!(read(bytes, ItemFormat::Ids), expected);
}

#[test]
fn a_long_id_is_malformed_and_a_longer_line_is_passed_over() {
    let mut bytes = "x".repeat(10_240).into_bytes();
    bytes.push(b'\n');
    bytes.extend("y".repeat(3 * MAX_ROW_BYTES).bytes());
    bytes.extend(b"\nok\n");
    let read = read(&bytes, ItemFormat::Ids);
    assert_eq!(read[0], "1! the id has 10240 bytes, more than 512");
    assert_eq!(read[1], format!("2! it has {} bytes, more than {MAX_ROW_BYTES}", 3 * MAX_ROW_BYTES));
    assert_eq!(read[2], "3: ok");
}

#[test]
fn a_line_of_the_greatest_length_is_read_whole() {
    for end in ["\n", "\r\n", ""] {
        let bytes = format!("{}{end}", "x".repeat(MAX_ROW_BYTES)).into_bytes();
        assert_eq!(read(&bytes, ItemFormat::Ids), [format!("1! the id has {MAX_ROW_BYTES} bytes, more than 512")]);
    }
}

#[test]
fn ndjson_gives_params_and_says_what_is_wrong() {
    let bytes = b"{\"id\":\"a\",\"params\":{\"n\":1}}\n\n{\"id\":\"\"}\n{\"id\":7}\n{\"id\":\"a\\nb\"}\n";
    let read = read(bytes, ItemFormat::Ndjson);
    assert_eq!(read[0], "1: a {\"n\": \"1\"}");
    assert_eq!(read[1], "3! the id is empty");
    assert!(read[2].starts_with("4! the entry is not"), "{}", read[2]);
    assert_eq!(read[3], "5: a\nb");
}

#[test]
fn csv_takes_the_id_and_makes_params_of_the_rest() {
    let bytes =
        b"\xef\xbb\xbflang, id ,note\r\nen,1,\r\n\r\nde,2,\"a, \"\"b\"\"\nc\"\r\n,,\nfr,3\nit,\xff,x\n,,only a note\n";
    let expected = [
        "2: 1 {\"lang\": \"en\"}",
        "4: 2 {\"lang\": \"de\", \"note\": \"a, \\\"b\\\"\\nc\"}",
        "7! it has 2 cells, and the header has 3",
        "8! it is not UTF-8 (byte 1)",
        "9! the id is empty",
    ];
    assert_eq!(read(bytes, ItemFormat::Csv), expected);
}

#[test]
fn csv_needs_one_column_of_ids() {
    for header in ["name,lang\n", "id,id\n", "id,a,a\n", ""] {
        let error = ItemRows::new(header.as_bytes(), ItemFormat::Csv).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("header")), "{header:?}");
    }
}

#[test]
fn a_quote_that_is_never_closed_is_no_row_of_a_whole_file() {
    let bytes = format!("id\n\"{}", "x,\n".repeat(MAX_ROW_BYTES)).into_bytes();
    let mut rows = ItemRows::new(&bytes[..], ItemFormat::Csv).unwrap_or_else(|error| panic!("{error}"));
    let error = rows.next_row().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("quote"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in [ItemFormat::Ids, ItemFormat::Csv, ItemFormat::Ndjson] {
            let Ok(mut rows) = ItemRows::new(&bytes[..], format) else { continue };
            while let Ok(Some(_)) = rows.next_row() {}
        }
    }
}
