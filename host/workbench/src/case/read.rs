//! Reads cases: one, or a folder of them.

use std::path::Path;

use super::schema::CaseTable;
use super::{Case, CaseError, check};

impl Case {
    /// Reads and checks a case, and the files that it names.
    ///
    /// # Errors
    /// If the file cannot be read, is no case, or names a file that cannot be read.
    pub fn read(path: &Path) -> Result<Self, CaseError> {
        let text = check::read(path, path)?;
        let text = String::from_utf8(text.to_vec()).map_err(|_| CaseError::not_text(path))?;
        Self::parse(path, &text)
    }

    /// Checks the text of the case at `path`; bodies in files are looked for from there.
    ///
    /// # Errors
    /// As [`Case::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaseError> {
        let table: CaseTable = toml::from_str(text).map_err(|error| CaseError::shape(path, &error))?;
        check::case(path, table)
    }

    /// All cases of a folder, sorted by name; none if there is no such folder.
    ///
    /// # Errors
    /// If the folder or one of its cases cannot be read. All wrong cases are returned, not only the first.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, Vec<CaseError>> {
        let paths = check::toml_files(folder).map_err(|error| vec![error])?;
        let (mut cases, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match Self::read(&path) {
                Ok(case) => cases.push(case),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(cases) } else { Err(errors) }
    }
}
