//! The surface of a contract, item by item, in a comparable form: each type, function, import and
//! export by its path, with its members in order. Comments are left out.

use std::collections::BTreeMap;

use semver::Version;
use wit_parser::{
    Function, Handle, Interface, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, World, WorldItem,
};

/// A contract.
#[derive(Debug)]
pub(super) struct Surface {
    /// The package without its version: `damper:provider`.
    pub(super) package: String,
    /// Its version.
    pub(super) version: Version,
    /// Everything in it, by path: `types.fetch-request`, `provider`, `provider export fetch-record`.
    pub(super) items: BTreeMap<String, Shape>,
}

/// One item.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The path of the interface or world that it is in.
    pub(super) parent: Option<String>,
    pub(super) members: Vec<Member>,
}

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Interface,
    World,
    Import,
    Export,
    Function,
    Record,
    Variant,
    Enum,
    Flags,
    Resource,
    Alias,
}

/// A part of an item: a field, a case, a parameter, the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    role: &'static str,
    pub(super) name: String,
    /// Its type; empty where it has none.
    pub(super) text: String,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::World => "world",
            Self::Import => "import",
            Self::Export => "export",
            Self::Function => "function",
            Self::Record => "record",
            Self::Variant => "variant",
            Self::Enum => "enum",
            Self::Flags => "flags",
            Self::Resource => "resource",
            Self::Alias => "type",
        }
    }
}

impl Shape {
    fn new(kind: Kind, parent: Option<&str>, members: Vec<Member>) -> Self {
        Self { kind, parent: parent.map(str::to_owned), members }
    }

    /// The item with what it is: `record types.fetch-request`.
    pub(super) fn title(&self, path: &str) -> String {
        match self.kind {
            // Their paths say it.
            Kind::Import | Kind::Export => format!("world {path}"),
            kind => format!("{} {path}", kind.word()),
        }
    }
}

impl Member {
    fn new(role: &'static str, name: &str, text: impl Into<String>) -> Self {
        Self { role, name: name.to_owned(), text: text.into() }
    }

    pub(super) fn key(&self) -> (&'static str, &str) {
        (self.role, &self.name)
    }

    /// `field id`; a result has no name.
    pub(super) fn name_with_role(&self) -> String {
        if self.name.is_empty() { self.role.to_owned() } else { format!("{} {}", self.role, self.name) }
    }

    /// `` field id, `string` ``.
    pub(super) fn whole(&self) -> String {
        let name = self.name_with_role();
        if self.text.is_empty() { name } else { format!("{name}, `{}`", self.text) }
    }
}

impl Surface {
    /// Reads a file's WIT.
    ///
    /// # Errors
    /// In words: where it is none, or its package has no version.
    pub(super) fn parse(file: &str, text: &str) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let id = resolve.push_source(file, text).map_err(|error| format!("{error:#}"))?;
        let package = resolve.packages.get(id).ok_or("it has no package")?;
        let name = format!("{}:{}", package.name.namespace, package.name.name);
        let version = package.name.version.clone().ok_or("its package has no version")?;
        let mut items = BTreeMap::new();
        for (path, id) in &package.interfaces {
            items.insert(path.clone(), Shape::new(Kind::Interface, None, Vec::new()));
            if let Some(interface) = resolve.interfaces.get(*id) {
                add_interface(&resolve, path, interface, &mut items);
            }
        }
        for (path, id) in &package.worlds {
            items.insert(path.clone(), Shape::new(Kind::World, None, Vec::new()));
            if let Some(world) = resolve.worlds.get(*id) {
                add_world(&resolve, path, world, &mut items);
            }
        }
        Ok(Self { package: name, version, items })
    }

    /// The package with its version.
    pub(super) fn id(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }
}

fn add_interface(resolve: &Resolve, path: &str, interface: &Interface, items: &mut BTreeMap<String, Shape>) {
    for (name, id) in &interface.types {
        // A name that was only taken over from another interface is no promise of this one.
        if let Some((kind, members)) = shape(resolve, *id) {
            items.insert(format!("{path}.{name}"), Shape::new(kind, Some(path), members));
        }
    }
    for (name, function) in &interface.functions {
        items.insert(format!("{path}.{name}"), Shape::new(Kind::Function, Some(path), signature(resolve, function)));
    }
}

fn add_world(resolve: &Resolve, path: &str, world: &World, items: &mut BTreeMap<String, Shape>) {
    for (kind, list) in [(Kind::Import, &world.imports), (Kind::Export, &world.exports)] {
        for (key, item) in list {
            let (name, members) = match item {
                WorldItem::Interface { id, .. } => (interface_name(resolve, *id), Vec::new()),
                WorldItem::Function(function) => (Some(function.name.clone()), signature(resolve, function)),
                WorldItem::Type { .. } => continue,
            };
            let name = name.unwrap_or_else(|| resolve.name_world_key(key));
            items.insert(format!("{path} {} {name}", kind.word()), Shape::new(kind, Some(path), members));
        }
    }
}

fn interface_name(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    resolve.interfaces.get(id).and_then(|interface| interface.name.clone())
}

fn signature(resolve: &Resolve, function: &Function) -> Vec<Member> {
    let parameters =
        function.params.iter().map(|param| Member::new("parameter", &param.name, text(resolve, &param.ty)));
    let result = function.result.iter().map(|result| Member::new("result", "", text(resolve, result)));
    parameters.chain(result).collect()
}

/// A type's kind and members; none for a name that stands for a type of another interface.
fn shape(resolve: &Resolve, id: TypeId) -> Option<(Kind, Vec<Member>)> {
    let definition = resolve.types.get(id)?;
    let optional = |ty: &Option<Type>| ty.as_ref().map(|ty| text(resolve, ty)).unwrap_or_default();
    Some(match &definition.kind {
        TypeDefKind::Record(record) => {
            let field = |field: &wit_parser::Field| Member::new("field", &field.name, text(resolve, &field.ty));
            (Kind::Record, record.fields.iter().map(field).collect())
        }
        TypeDefKind::Variant(variant) => (
            Kind::Variant,
            variant.cases.iter().map(|case| Member::new("case", &case.name, optional(&case.ty))).collect(),
        ),
        TypeDefKind::Enum(list) => {
            (Kind::Enum, list.cases.iter().map(|case| Member::new("case", &case.name, "")).collect())
        }
        TypeDefKind::Flags(list) => {
            (Kind::Flags, list.flags.iter().map(|flag| Member::new("flag", &flag.name, "")).collect())
        }
        TypeDefKind::Resource => (Kind::Resource, Vec::new()),
        TypeDefKind::Type(Type::Id(other))
            if resolve.types.get(*other).is_some_and(|other| other.owner != definition.owner) =>
        {
            return None;
        }
        kind => (Kind::Alias, vec![Member::new("meaning", "", structure(resolve, kind))]),
    })
}

/// A type as it is written; a named one by its interface and name.
fn text(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => type_name(resolve, *id),
        Type::Bool => "bool".to_owned(),
        Type::Char => "char".to_owned(),
        Type::String => "string".to_owned(),
        Type::ErrorContext => "error-context".to_owned(),
        // `U8`, `S64`, `F32`: their names in small letters.
        number => format!("{number:?}").to_ascii_lowercase(),
    }
}

fn type_name(resolve: &Resolve, id: TypeId) -> String {
    let Some(definition) = resolve.types.get(id) else { return String::new() };
    let Some(name) = &definition.name else { return structure(resolve, &definition.kind) };
    match (&definition.kind, definition.owner) {
        // A name taken over from elsewhere is that type.
        (TypeDefKind::Type(Type::Id(other)), owner)
            if resolve.types.get(*other).is_some_and(|other| other.owner != owner) =>
        {
            type_name(resolve, *other)
        }
        (_, TypeOwner::Interface(interface)) => {
            interface_name(resolve, interface).map_or_else(|| name.clone(), |interface| format!("{interface}.{name}"))
        }
        _ => name.clone(),
    }
}

fn structure(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let text = |ty: &Type| text(resolve, ty);
    let or_hole = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), text);
    match kind {
        TypeDefKind::Type(ty) => text(ty),
        TypeDefKind::List(ty) => format!("list<{}>", text(ty)),
        TypeDefKind::FixedLengthList(ty, length) => format!("list<{}, {length}>", text(ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", text(ty)),
        TypeDefKind::Map(key, value) => format!("map<{}, {}>", text(key), text(value)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(text).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Result(result) => format!("result<{}, {}>", or_hole(&result.ok), or_hole(&result.err)),
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", type_name(resolve, *id)),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", type_name(resolve, *id)),
        TypeDefKind::Future(ty) => format!("future<{}>", or_hole(ty)),
        TypeDefKind::Stream(ty) => format!("stream<{}>", or_hole(ty)),
        // These have names, and are shown by them.
        other => other.as_str().to_owned(),
    }
}
