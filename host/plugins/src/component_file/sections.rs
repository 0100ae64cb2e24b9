//! The parts of a component's binary that Damper reads or writes itself: custom sections, imports and exports.

use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{BinaryReader, BinaryReaderError, ComponentTypeRef, Encoding, Parser, Payload};

/// The custom section that holds the manifest's text, in the outermost component.
pub(super) const MANIFEST_SECTION: &str = "damper:manifest";
/// The custom section that the SDK stamps: in the core module that the author's compiler made, or, where an interpreter
/// is that module, in the outermost component.
pub(super) const STAMP_SECTION: &str = "damper:sdk";
/// The custom section in which linkers name the parts of a component, for people who read it with other tools.
pub(super) const NAMES_SECTION: &str = "component-name";

/// The length of a component's header: magic number, version and layer.
const HEADER_BYTES: usize = 8;
const CUSTOM_SECTION_ID: u8 = 0;

/// The sections of a component that Damper reads.
#[derive(Default)]
pub(super) struct Sections<'a> {
    pub(super) is_component: bool,
    pub(super) manifest: Option<&'a [u8]>,
    pub(super) stamp: Option<&'a [u8]>,
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
}

impl<'a> Sections<'a> {
    /// Reads a module's or a component's sections, the nested ones included. Nothing is validated beyond its framing;
    /// the engine does that when it compiles.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, BinaryReaderError> {
        let mut sections = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::Version { encoding, .. } => {
                    sections.is_component |= depth == 0 && encoding == Encoding::Component;
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::CustomSection(section) => match (section.name(), depth) {
                    (MANIFEST_SECTION, 1) => sections.manifest = Some(section.data()),
                    (STAMP_SECTION, _) => sections.stamp = Some(section.data()),
                    _ => {}
                },
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        let import = import?;
                        // The world's own `use` of types is an import, too. It needs no implementation.
                        if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                            sections.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        sections.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(sections)
    }
}

/// The same component with this section in its outermost layer, in the place of any of that name there.
pub(super) fn with_section(component: &[u8], name: &str, data: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut output = without_section(component, name)?;
    CustomSection { name: name.into(), data: data.into() }.append_to_component(&mut output);
    Ok(output)
}

/// The same component without the custom sections of this name in its outermost layer.
pub(super) fn without_section(component: &[u8], name: &str) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new(component, 0);
    let mut output = Vec::with_capacity(component.len());
    output.extend_from_slice(reader.read_bytes(HEADER_BYTES)?);
    while !reader.eof() {
        let start = reader.original_position();
        let id = reader.read_u8()?;
        let length = reader.read_var_u32()? as usize;
        let content = reader.read_bytes(length)?;
        let is_left_out =
            id == CUSTOM_SECTION_ID && BinaryReader::new(content, 0).read_string().is_ok_and(|found| found == name);
        if !is_left_out {
            output.extend_from_slice(component.get(start..reader.original_position()).unwrap_or_default());
        }
    }
    Ok(output)
}
