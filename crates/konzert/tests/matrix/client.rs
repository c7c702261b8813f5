//! One client program in a namespace of its own, with files of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::engine::Engine;
use crate::support::process::{self, Ran, Running};

/// A client program under test.
pub(crate) struct Client<'a> {
    engine: &'a Engine,
    program: PathBuf,
    /// Its namespace, made by the first cell.
    pub(crate) namespace: String,
    home: PathBuf,
}

impl<'a> Client<'a> {
    pub(crate) fn new(engine: &'a Engine, program: &Path, name: &str) -> Self {
        let namespace = format!("m-{}", name.replace('.', "-"));
        let home = engine.scratch().join(&namespace);
        std::fs::create_dir_all(&home).unwrap();
        Self { engine, program: program.to_path_buf(), namespace, home }
    }

    /// A name that no other client uses, for objects outside of namespaces.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    /// A file for the client.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        use std::io::Write as _;
        let path = self.home.join(name);
        std::fs::File::create(&path).unwrap().write_all(content.as_ref()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--namespace", &self.namespace]).args(args).current_dir(&self.home);
        // Nothing from the user's own configuration, and no cache from another client.
        command.env("KUBECONFIG", self.engine.kubeconfig()).env("HOME", &self.home);
        for name in ["CACHE", "CONFIG", "DATA"] {
            command.env(format!("HELM_{name}_HOME"), self.home.join(name));
        }
        command
    }

    /// Starts the client; `line` is split at white space.
    pub(crate) fn start(&self, line: &str) -> Running {
        self.start_args(&words(line), "")
    }

    pub(crate) fn start_args(&self, args: &[&str], input: &str) -> Running {
        process::start(self.command(args), Some(&self.engine.net), input)
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.start(line).end()
    }

    /// The output of a command that succeeds.
    pub(crate) fn ok(&self, line: &str) -> String {
        self.run(line).ok()
    }

    /// The same, for arguments that have spaces in them.
    pub(crate) fn ok_args(&self, args: &[&str]) -> String {
        self.start_args(args, "").end().ok()
    }

    /// The same, with something to read.
    pub(crate) fn feed(&self, line: &str, input: &str) -> String {
        self.start_args(&words(line), input).end().ok()
    }

    /// With an editor for `kubectl edit` in the environment.
    pub(crate) fn with_editor(&self, editor: &str, line: &str) -> String {
        let mut command = self.command(&words(line));
        command.env("KUBE_EDITOR", editor);
        process::run(command, Some(&self.engine.net), "").ok()
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} -o json")).json()
    }

    /// What a command that fails says on stderr.
    pub(crate) fn fails(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_ne!(ran.code, Some(0), "{ran}");
        ran.stderr
    }

    /// What the API has at a path, whatever the client says.
    pub(crate) fn live(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.engine.ask(async |client| client.request(request).await.unwrap())
    }

    /// The same client with a bearer token instead of its certificate.
    pub(crate) fn with_token(&self, token: &str, line: &str) -> Ran {
        let text = std::fs::read_to_string(self.engine.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"] = serde_json::json!({ "token": token });
        let file = self.file("token.kubeconfig", config.to_string());
        let mut command = self.command(&words(line));
        command.env("KUBECONFIG", file);
        process::run(command, Some(&self.engine.net), "")
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// Every part is in the text; how wide columns are does not matter.
#[track_caller]
pub(crate) fn has(text: &str, parts: &[&str]) {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(squeezed(text).contains(&squeezed(part)), "{part:?} is not in:\n{text}");
    }
}
