//! Why a container cannot be configured: the user's part of failure, shown as `CreateContainerConfigError`.

/// A fault in what the pod asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigFault {
    /// A `ConfigMap` or Secret is not there.
    #[error("{kind} \"{name}\" not found")]
    MissingObject { kind: &'static str, name: String },
    /// It has no such key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    MissingKey { kind: &'static str, namespace: String, name: String, key: String },
    /// A value for an environment variable is not text.
    #[error("key {key} of {kind} {name} is not valid UTF-8 text, which an environment variable must be")]
    NotText { kind: &'static str, name: String, key: String },
    /// A field of the pod that the downward API does not serve.
    #[error("unsupported fieldPath: {path}")]
    FieldPath { path: String },
    /// A resource the downward API does not serve.
    #[error("unsupported container resource: {resource}")]
    Resource { resource: String },
    /// A quantity that cannot be read.
    #[error("{field}: {text:?} is not a quantity")]
    Quantity { field: String, text: String },
    /// Another container that does not exist.
    #[error("container {name} not found in this pod")]
    Container { name: String },
    /// The image's user is not in its `/etc/passwd`.
    #[error("unable to find user {user}: no matching entries in the image's /etc/passwd")]
    User { user: String },
    /// The image's group is not in its `/etc/group`.
    #[error("unable to find group {group}: no matching entries in the image's /etc/group")]
    Group { group: String },
    /// A user or group number out of range.
    #[error("{field}: {value} is not a user or group id")]
    Id { field: &'static str, value: i64 },
    /// `runAsNonRoot` and user 0.
    #[error("container has runAsNonRoot and image will run as root (container: {container})")]
    RunsAsRoot { container: String },
    /// Neither the pod nor the image says what to run.
    #[error("no command specified: image {image} has no entrypoint and the container has no command")]
    NoCommand { image: String },
    /// A mount of a volume the pod does not declare.
    #[error("volumeMounts: volume {volume} is not declared by the pod")]
    MountWithoutVolume { volume: String },
    /// A path that leaves its root, or is not what it must be.
    #[error("{field}: {path:?} {problem}")]
    Path { field: &'static str, path: String, problem: &'static str },
    /// A signal name the kernel does not know.
    #[error("{field}: {name:?} is not a signal")]
    Signal { field: &'static str, name: String },
    /// Something Kubernetes has and this engine does not do.
    #[error("{field} is not supported by this engine: {hint}")]
    Unsupported { field: String, hint: &'static str },
}

impl ConfigFault {
    /// Whether an object that comes or changes can cure it.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::MissingObject { .. } | Self::MissingKey { .. } | Self::NotText { .. })
    }

    pub(crate) fn unsupported(field: impl Into<String>, hint: &'static str) -> Self {
        Self::Unsupported { field: field.into(), hint }
    }
}
