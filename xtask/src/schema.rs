//! `cargo xtask schema`: writes the schema table of crate `konzert-api` from the sources of k8s-pb and k8s-openapi.
//!
//! k8s-pb knows protobuf tags, wire kinds and the list markers of the Go comments, k8s-openapi knows the JSON names,
//! which fields are required, and what is newer than k8s-pb. What neither knows is in [`facts`].
//! Nothing is downloaded: both crates are where `cargo metadata` says they are.
//!
//! Invariants: the output depends on the two crates and [`facts`] only and is sorted, so a second run changes nothing;
//! a field whose protobuf tag nobody knows stops the run, because it would be lost on decoding.

mod facts;
mod openapi;
mod protos;
mod written;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use openapi::{Definition, Definitions};
use protos::{Message, Messages};

/// What to do with the generated table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Replace the committed file.
    Write,
    /// Fail when the committed file differs.
    Check,
}

/// Where the table is committed, below the workspace root.
const TABLE: &str = "crates/api/src/schema/kubernetes.tsv";

/// How a value is encoded, as both sources can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A scalar by its protobuf name.
    Scalar(&'static str),
    /// A message by full name.
    Message(String),
}

/// How many values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Many {
    One,
    List,
    Map,
}

/// Marker comments that the table keeps: `listType`, `listMapKey`, `patchMergeKey`, ….
pub(crate) type Markers = BTreeMap<String, Vec<String>>;

/// Generates the table and writes or checks it.
pub(crate) fn run(mode: Mode) -> Result<()> {
    let metadata = cargo_metadata::MetadataCommand::new().exec().context("cargo metadata")?;
    let source = |name: &str| -> Result<PathBuf> {
        let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
        let package = package.with_context(|| format!("{name} is not a dependency of the workspace"))?;
        let root = package.manifest_path.parent().context("a manifest lies in a directory")?;
        Ok(root.as_std_path().join("src"))
    };
    let messages = protos::read(&source("k8s-pb")?)?;
    let definitions = openapi::read(&source("k8s-openapi")?.join("v1_37"))?;
    let table = Composer::new(&messages, &definitions).compose()?;
    let path = metadata.workspace_root.as_std_path().join(TABLE);
    match mode {
        Mode::Write => write_atomically(&path, &table),
        Mode::Check => {
            let committed = std::fs::read_to_string(&path).with_context(|| format!("read {TABLE}"))?;
            if committed != table {
                bail!("{TABLE} is not what its sources give; run `cargo xtask schema`");
            }
            Ok(())
        }
    }
}

fn write_atomically(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let temporary = path.with_extension("tmp");
    let mut file =
        std::fs::File::create(&temporary).with_context(|| format!("create {}", temporary.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", temporary.display()))?;
    std::fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))
}

/// One row of the table.
struct Row {
    name: String,
    tag: u32,
    kind: Kind,
    many: Many,
    flags: String,
    markers: Markers,
}

/// Joins the sources, message by message, from the roots down to whatever they reach.
struct Composer<'a> {
    messages: &'a Messages,
    definitions: &'a Definitions,
    pending: VecDeque<(String, Option<String>)>,
    seen: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a> Composer<'a> {
    fn new(messages: &'a Messages, definitions: &'a Definitions) -> Self {
        let stable = |name: &str| name.contains(".v1.") || name.contains(".v2.");
        let root = |name: &&str| stable(name) && definitions.get(name).is_some_and(|known| !known.opaque);
        let pending = definitions.names().filter(root).map(|name| (name.to_owned(), None));
        Self {
            messages,
            definitions,
            pending: pending.collect(),
            seen: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn compose(mut self) -> Result<String> {
        let mut blocks = BTreeMap::new();
        while let Some((name, outer)) = self.pending.pop_front() {
            if self.seen.insert(name.clone()) {
                let block = self.message(&name, outer.as_deref());
                blocks.insert(name, block);
            }
        }
        if !self.problems.is_empty() {
            bail!("the sources leave questions, answer them in facts.rs:\n{}", self.problems.join("\n"));
        }
        let mut text = String::from(HEADER);
        for block in blocks.values() {
            text.push_str(block);
        }
        Ok(text)
    }

    /// `outer` is the definition whose JSON object an inlined message is part of.
    fn message(&mut self, name: &str, outer: Option<&str>) -> String {
        let message = self.messages.get(name);
        let definition = self.definitions.get(name).or_else(|| self.definitions.get(outer?));
        let mut rows: Vec<Row> = Vec::new();
        for field in message.map(|message| message.fields.as_slice()).unwrap_or_default() {
            rows.extend(self.proto_row(name, field, definition));
        }
        if let Some(definition) = self.definitions.get(name) {
            self.add_newer(name, definition, &mut rows);
        }
        for row in &rows {
            if let Kind::Message(target) = &row.kind {
                let outer = row.flags.contains('n').then(|| outer.unwrap_or(name).to_owned());
                self.pending.push_back((target.clone(), outer));
            }
        }
        render(name, message, self.definitions.get(name), &rows)
    }

    /// A field that k8s-pb has; `None` when Kubernetes has removed it since.
    fn proto_row(&self, owner: &str, field: &protos::Field, definition: Option<&Definition>) -> Option<Row> {
        let known = definition.and_then(|definition| definition.field(&field.name));
        let kind = match &field.kind {
            Kind::Message(target) => Kind::Message(self.definitions.spelling(target).to_owned()),
            scalar @ Kind::Scalar(_) => scalar.clone(),
        };
        let plain = definition.filter(|definition| !definition.opaque);
        let inline = match (&kind, plain) {
            (Kind::Message(target), Some(outer)) if known.is_none() && field.many == Many::One => {
                let names = self.inlined_names(target, outer, 0);
                names.iter().all(|name| outer.field(name).is_some())
            }
            _ => false,
        };
        if known.is_none() && plain.is_some() && !inline {
            return None;
        }
        let name = known.map_or_else(|| lower_camel(&field.name), |known| known.json.clone());
        let mut flags = String::new();
        if inline {
            flags.push('n');
        }
        if known.is_some_and(|known| known.required) {
            flags.push('r');
        }
        if facts::is_pointer(owner, &name) {
            flags.push('p');
        }
        flags.extend(written::flag(owner, &name));
        Some(Row { name, tag: field.tag, kind, many: field.many, flags, markers: field.markers.clone() })
    }

    /// Fields that only k8s-openapi has: `apiVersion` and `kind`, and what is newer than k8s-pb.
    fn add_newer(&mut self, owner: &str, definition: &Definition, rows: &mut Vec<Row>) {
        let mut present: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
        for row in rows.iter().filter(|row| row.flags.contains('n')) {
            let Kind::Message(target) = &row.kind else { continue };
            present.extend(self.inlined_names(target, definition, 0));
        }
        for field in &definition.fields {
            if present.contains(&field.json) {
                continue;
            }
            let type_meta = field.json == "apiVersion" || field.json == "kind";
            let (tag, markers) = match facts::newer(owner, &field.json) {
                Some(newer) => newer,
                None if type_meta => (0, Markers::new()),
                None => {
                    self.problems.push(format!("{owner} {} has no protobuf tag", field.json));
                    continue;
                }
            };
            let mut flags = String::new();
            if field.required {
                flags.push('r');
            }
            if facts::is_pointer(owner, &field.json) {
                flags.push('p');
            }
            flags.extend(written::flag(owner, &field.json));
            let many = field.many;
            let kind = match facts::list_wrapper(owner, &field.json) {
                Some(wrapper) => Kind::Message(wrapper.to_owned()),
                None => field.kind.clone(),
            };
            rows.push(Row { name: field.json.clone(), tag, kind, many, flags, markers });
        }
    }

    /// JSON names that an inlined message brings into its outer object.
    fn inlined_names(&self, target: &str, outer: &Definition, depth: usize) -> Vec<String> {
        let Some(message) = self.messages.get(target) else { return Vec::new() };
        let definition = self.definitions.get(target).unwrap_or(outer);
        let mut names = Vec::new();
        for field in &message.fields {
            match (definition.field(&field.name), &field.kind) {
                (Some(known), _) => names.push(known.json.clone()),
                (None, Kind::Message(inner)) if depth < 4 => {
                    names.extend(self.inlined_names(self.definitions.spelling(inner), outer, depth + 1));
                }
                (None, _) => names.push(lower_camel(&field.name)),
            }
        }
        names
    }
}

const HEADER: &str = "\
# Written by `cargo xtask schema`; do not edit.
# @ message, flags (a: atomic struct, o: opaque in JSON, w: list wrapper), group/version/kind, plural, scope (N, C, S)
# field, protobuf tag (0: JSON only), type ([] list, {} map), flags (n: inlined, r: required, p: pointer, v: always written, z: written as null), markers
";

fn render(name: &str, message: Option<&Message>, definition: Option<&Definition>, rows: &[Row]) -> String {
    let mut flags = String::new();
    if message.is_some_and(|message| message.markers.get("structType").is_some_and(|v| v[0] == "atomic")) {
        flags.push('a');
    }
    if definition.is_some_and(|definition| definition.opaque) {
        flags.push('o');
    }
    let wraps = |row: &Row| row.name == "items" && row.tag == 1 && row.many == Many::List;
    if definition.is_none() && rows.len() == 1 && wraps(&rows[0]) {
        flags.push('w');
    }
    let resource = definition.and_then(|definition| definition.resource.as_ref());
    let (gvk, plural, scope) = resource.map_or_else(Default::default, |resource| {
        (
            format!("{}/{}/{}", resource.group, resource.version, resource.kind),
            resource.plural.clone(),
            resource.scope,
        )
    });
    let mut text = String::new();
    line(&mut text, &["@", short(name), &flags, &gvk, &plural, scope]);
    for row in rows {
        let many = match row.many {
            Many::One => "",
            Many::List => "[]",
            Many::Map => "{}",
        };
        let kind = match &row.kind {
            Kind::Scalar(scalar) => scalar,
            Kind::Message(target) => short(target),
        };
        line(
            &mut text,
            &[&row.name, &row.tag.to_string(), &format!("{many}{kind}"), &row.flags, &markers(&row.markers)],
        );
    }
    text
}

fn line(text: &mut String, columns: &[&str]) {
    writeln!(text, "{}", columns.join("\t").trim_end()).expect("writing to a string");
}

fn short(name: &str) -> &str {
    name.strip_prefix("io.k8s.").unwrap_or(name)
}

fn markers(markers: &Markers) -> String {
    const SHORT: [(&str, &str); 6] = [
        ("listType", "list"),
        ("listMapKey", "keys"),
        ("patchMergeKey", "merge"),
        ("patchStrategy", "strategy"),
        ("mapType", "map"),
        ("structType", "struct"),
    ];
    let known = SHORT.iter().filter_map(|(long, short)| Some((short, markers.get(*long)?)));
    known.map(|(short, values)| format!("{short}={}", values.join(","))).collect::<Vec<_>>().join(" ")
}

/// `host_path` to `hostPath`.
fn lower_camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut upper = false;
    for character in name.chars() {
        match character {
            '_' => upper = true,
            _ if upper => {
                camel.extend(character.to_uppercase());
                upper = false;
            }
            _ => camel.push(character),
        }
    }
    camel
}

/// Names that differ only in case and separators are the same field.
pub(crate) fn normal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|character| character.to_ascii_lowercase()).collect()
}
