//! Lists dead letters without reading each one whole. The bucket's listing has names, sizes and storage times; for a
//! letter that is shown in one row only its head is read. The largest part of a letter, the exchanges of the last
//! fetch, comes last.

use std::collections::BinaryHeap;
use std::fmt;
use std::ops::Range;

use damper_core::dead_letter::Filter;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Letters, LettersError, PENDING_FOLDER, REDRIVEN_FOLDER, SIDE_BY_SIDE, StoredLetter, store_error};

/// How much of a letter is read where its head is enough. An item whose payload is longer than this is read whole.
const HEAD: Range<u64> = 0..16 * 1024;
/// How many letters are read before looking whether there are enough.
pub(super) const PAGE: usize = 64;
/// How many names are kept in memory at most: those of the letters that were stored first.
const MOST_NAMES: usize = 100_000;

/// How much of a letter is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All but the bundle, where that saves reading: for a row of a table.
    Head,
    /// All of it.
    Whole,
}

/// A letter as the bucket lists it; the order is that in which they were stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    stored_us: i64,
    path: Path,
    bytes: u64,
}

impl Name {
    fn of(object: &ObjectMeta) -> Self {
        let stored_us = object.last_modified.timestamp_micros();
        Self { stored_us, path: object.location.clone(), bytes: object.size }
    }
}

impl Letters {
    /// At most `limit` letters: those that were stored first, in the order in which they died. If a reason is given,
    /// letters are read until there are enough with that reason, from the first 100,000 that were stored.
    ///
    /// # Errors
    /// If the bucket fails, or holds what is no letter.
    pub async fn list(&self, filter: &Filter, limit: usize, detail: Detail) -> Result<Vec<StoredLetter>, LettersError> {
        let most_names = if filter.reason.is_none() { limit.min(MOST_NAMES) } else { MOST_NAMES };
        let names = self.list_first_stored(filter, most_names).await?;
        let mut letters: Vec<StoredLetter> = Vec::new();
        for page in names.chunks(PAGE) {
            letters.extend(self.read_page(filter, page, detail).await?);
            if letters.len() >= limit {
                break;
            }
        }
        letters.truncate(limit);
        letters.sort_by(|one, other| {
            let key = |stored: &StoredLetter| (stored.letter.died, stored.letter.sequence.clone());
            key(one).cmp(&key(other))
        });
        Ok(letters)
    }

    /// How many letters there are, by the bucket's listing. None where a reason is asked for: each letter would have to
    /// be read.
    ///
    /// # Errors
    /// If the bucket fails.
    pub async fn count(&self, filter: &Filter) -> Result<Option<u64>, LettersError> {
        if filter.reason.is_some() {
            return Ok(None);
        }
        let mut count = 0_u64;
        for folder in folders(filter) {
            count += self.list_objects(filter, folder).try_fold(0_u64, async |count, _| Ok(count + 1)).await?;
        }
        Ok(Some(count))
    }

    /// Read the letters of these names that are of the reason asked for. One that is gone has been redriven meanwhile.
    pub(super) async fn read_page(
        &self,
        filter: &Filter,
        names: &[Name],
        detail: Detail,
    ) -> Result<Vec<StoredLetter>, LettersError> {
        let reads: Vec<_> = names.iter().map(|name| self.read_named(name, detail)).collect();
        let letters: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).try_collect().await?;
        let letters = letters.into_iter().flatten();
        Ok(letters.filter(|stored| filter.reason.is_none_or(|reason| stored.letter.reason == reason)).collect())
    }

    /// The letters in one folder, as they are listed: by provider and entry.
    pub(super) fn names<'a>(&'a self, filter: &Filter) -> BoxStream<'a, Result<Name, LettersError>> {
        self.list_objects(filter, PENDING_FOLDER).map_ok(|object| Name::of(&object)).boxed()
    }

    async fn list_first_stored(&self, filter: &Filter, most: usize) -> Result<Vec<Name>, LettersError> {
        let mut first = BinaryHeap::new();
        for folder in folders(filter) {
            let mut objects = self.list_objects(filter, folder);
            while let Some(object) = objects.try_next().await? {
                first.push(Name::of(&object));
                if first.len() > most {
                    // The one that was stored last.
                    first.pop();
                }
            }
        }
        Ok(first.into_sorted_vec())
    }

    fn list_objects(&self, filter: &Filter, folder: &str) -> BoxStream<'_, Result<ObjectMeta, LettersError>> {
        let prefix = match &filter.provider {
            Some(provider) => Path::from(format!("{folder}/{provider}")),
            None => Path::from(folder),
        };
        let listed = self.store.list(Some(&prefix));
        listed.map_err(move |error| store_error("list", &prefix, &error)).boxed()
    }

    async fn read_named(&self, name: &Name, detail: Detail) -> Result<Option<StoredLetter>, LettersError> {
        let path = &name.path;
        if detail == Detail::Whole || name.bytes <= HEAD.end {
            return self.read(path).await;
        }
        let head = match self.store.get_range(path, HEAD).await {
            Ok(head) => head,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(store_error("read", path, &error)),
        };
        match read_head(&head) {
            Some(stored) => Ok(Some(stored)),
            None => self.read(path).await,
        }
    }
}

fn folders(filter: &Filter) -> &'static [&'static str] {
    if filter.with_redriven { &[PENDING_FOLDER, REDRIVEN_FOLDER] } else { &[PENDING_FOLDER] }
}

/// A letter without its bundle, of the beginning of its JSON. None where more than that is missing.
fn read_head(head: &[u8]) -> Option<StoredLetter> {
    let mut fields = Map::new();
    // It ends with an error: at the bundle, or where the head is cut off.
    let _ = serde_json::Deserializer::from_slice(head).deserialize_map(BeforeBundle(&mut fields));
    serde_json::from_value(Value::Object(fields)).ok()
}

/// Takes the fields that come before the bundle.
struct BeforeBundle<'a>(&'a mut Map<String, Value>);

impl<'de> Visitor<'de> for BeforeBundle<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a dead letter")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key::<String>()? {
            if field == "bundle" {
                return Err(A::Error::custom("the rest is not wanted"));
            }
            let value = map.next_value()?;
            self.0.insert(field, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &str = r#"{"identity":"x","day":"2026-11-22","provider":"demo","sequence":"7","arrived":"2026-11-22T10:00:00Z",
        "died":"2026-11-22T10:00:01Z","payload":"{\"id\":\"x\"}","reason":"not-found","message":"gone","status":404,"attempts":12,
        "component":"sha256:00","bundle":{"day":"2026-11-22","attempt":1,"kind":"not-found","exchanges":[]}}"#;

    #[test]
    fn a_head_is_read_as_far_as_the_bundle() {
        let whole: StoredLetter = serde_json::from_str(LETTER).unwrap();
        let mut expected = whole.clone();
        expected.letter.bundle = None;
        let bundle = LETTER.find("\"bundle\"").unwrap();
        assert_eq!(read_head(&LETTER.as_bytes()[..bundle + 30]), Some(expected.clone()));
        assert_eq!(read_head(LETTER.as_bytes()), Some(expected));
    }

    #[test]
    fn a_head_that_is_cut_off_too_early_is_none() {
        let component_ends = LETTER.find("sha256:00").unwrap() + "sha256:00\"".len();
        for end in 0..component_ends {
            assert_eq!(read_head(&LETTER.as_bytes()[..end]), None, "{}", &LETTER[..end]);
        }
    }
}
