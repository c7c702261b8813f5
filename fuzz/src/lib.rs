//! Functions that read what strangers send, each fed with mutated real input: `cargo xtask fuzz [TARGET]`.
//!
//! A target is one row of [`TARGETS`]: its seeds, how its input is mutated, and the function. It fails by panicking, by
//! overflowing the stack, by taking more memory than it may, or by not coming back; an error it returns is an answer. Targets
//! are plain functions over bytes, so that any other fuzzer can call them, too.
//!
//! Not here: input that comes from the engine itself, and I/O.
#![forbid(unsafe_code)]

pub mod mutate;
pub mod run;
mod scanning;
mod seeds;
mod targets;

pub use mutate::Form;

/// One function under test.
pub struct Target {
    /// Name on the command line.
    pub name: &'static str,
    /// How inputs are taken apart.
    pub form: Form,
    /// Inputs to start from: real ones, small.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Reads one input. Must not panic.
    pub run: fn(&[u8]),
}

/// All targets. A new one is one row here and a function in `targets` or `scanning`.
pub const TARGETS: &[Target] = &[
    Target { name: "protobuf", form: Form::Bytes, seeds: seeds::protobuf, run: targets::protobuf },
    Target { name: "json", form: Form::Json, seeds: seeds::objects, run: targets::json },
    Target { name: "yaml", form: Form::Text, seeds: seeds::yaml, run: targets::yaml },
    Target { name: "json-patch", form: Form::Json, seeds: seeds::json_patches, run: targets::json_patch },
    Target { name: "merge-patch", form: Form::Json, seeds: seeds::merge_patches, run: targets::merge_patch },
    Target { name: "strategic", form: Form::Json, seeds: seeds::strategic_patches, run: targets::strategic },
    Target { name: "definition", form: Form::Json, seeds: seeds::definitions, run: targets::definition },
    Target { name: "selector", form: Form::Text, seeds: seeds::selectors, run: targets::selector },
    Target { name: "quantity", form: Form::Text, seeds: seeds::quantities, run: targets::quantity },
    Target {
        name: "continue",
        form: Form::Text,
        seeds: seeds::continue_tokens,
        run: targets::continue_token,
    },
    Target { name: "request", form: Form::Text, seeds: seeds::requests, run: targets::request },
    Target { name: "rpm-header", form: Form::Bytes, seeds: scanning::rpm_headers, run: scanning::rpm_header },
    Target {
        name: "rpm-sqlite",
        form: Form::Bytes,
        seeds: scanning::sqlite_files,
        run: scanning::rpm_sqlite,
    },
    Target { name: "rpm-ndb", form: Form::Bytes, seeds: scanning::ndb_files, run: scanning::rpm_ndb },
    Target { name: "rpm-bdb", form: Form::Bytes, seeds: scanning::bdb_files, run: scanning::rpm_bdb },
    Target { name: "executable", form: Form::Bytes, seeds: scanning::executables, run: scanning::executable },
    Target { name: "package-file", form: Form::Bytes, seeds: scanning::files, run: scanning::file },
    Target { name: "advisory-db", form: Form::Bytes, seeds: scanning::databases, run: scanning::database },
    Target { name: "advisory-record", form: Form::Bytes, seeds: scanning::databases, run: scanning::record },
    Target { name: "advisory-source", form: Form::Text, seeds: scanning::sources, run: scanning::source },
    Target { name: "openvex", form: Form::Json, seeds: scanning::vex_documents, run: scanning::vex },
    Target { name: "ignore-file", form: Form::Text, seeds: scanning::ignore_files, run: scanning::ignores },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
