//! How an input is cut into several: so that what is kept in a corpus can be read and written by hand.

/// The separator of two parts: a byte that is in no text of UTF-8.
const SEPARATOR: u8 = 0xff;

/// The parts of some data, each of them text.
pub(crate) fn parts(data: &[u8]) -> impl Iterator<Item = String> + '_ {
    data.split(|byte| *byte == SEPARATOR).map(|part| String::from_utf8_lossy(part).into_owned())
}

/// The one of these that a number stands for.
pub(crate) fn choose<T>(all: &[T], number: u8) -> &T {
    all.get(usize::from(number) % all.len().max(1)).expect("there is one at least")
}
