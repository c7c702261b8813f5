//! What is particular to a kind when it is written: allocations, and rules that need more than the object itself.
//!
//! One table ([`TABLE`]); a kind that is not in it behaves like [`DEFAULT`]. Hooks run inside the registry's write path
//! after validation, never instead of it. They do not write to the store.

mod classes;
mod csr;
mod definition;
mod namespace;
mod pod;
mod rbac;
mod service;

use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use konzert_api::{ApiError, GroupResource};
use konzert_store::{Revision, Store};
use serde_json::Value;

pub(crate) use self::definition::CLEANUP_FINALIZER;
#[cfg(test)]
pub(crate) use self::pod::DELETION as POD_DELETION;
pub(crate) use self::service::ServiceLedger;
use crate::error::ApiServerError;
use crate::registry::{Mode, Place, Propagation, Registry};

/// The write a hook is asked about.
pub(crate) struct Write<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) place: &'a Place,
    pub(crate) name: &'a str,
    pub(crate) now: Timestamp,
}

/// Something taken for an object that is not written yet. When the write is over, well or not, who gave it looks at what is
/// stored and takes back the rest.
#[derive(Default)]
pub(crate) struct Reservation(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Reservation {
    pub(crate) fn new(settle: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle();
        }
    }
}

/// How objects of a kind go away.
pub(crate) struct DeletionRules {
    /// Grace in seconds that the object itself asks for; `None`: the kind has no grace.
    pub(crate) grace: fn(&Value) -> Option<i64>,
    /// What holds the object besides `metadata.finalizers`.
    pub(crate) holds: fn(&Value) -> bool,
    /// Whether the object may be deleted at all.
    pub(crate) may_delete: fn(&Value) -> Result<(), ApiError>,
    /// What else changes when the object is marked for deletion.
    pub(crate) mark: fn(&mut Value, Timestamp),
    pub(crate) default_propagation: Propagation,
    /// A deletion at once answers the object instead of a `Status`.
    pub(crate) answers_object: bool,
}

/// Deletion of most kinds.
pub(crate) const DEFAULT_DELETION: DeletionRules = DeletionRules {
    grace: |_| None,
    holds: |_| false,
    may_delete: |_| Ok(()),
    mark: |_, _| {},
    default_propagation: Propagation::Background,
    answers_object: false,
};

type Admit = fn(&Write<'_>, &mut Value) -> Result<(), ApiError>;
type BeforeCreate = fn(&Hooks, &Write<'_>, &mut Value) -> Result<Reservation, ApiError>;
type BeforeUpdate = fn(&Hooks, &Write<'_>, &Value, &mut Value, Mode) -> Result<Reservation, ApiError>;

/// One row of the table.
struct KindHooks {
    group: &'static str,
    plural: &'static str,
    /// Admission of a new object, before it is prepared and validated: what follows from other objects.
    admit: Admit,
    before_create: BeforeCreate,
    /// Before validation: what follows from other changes of the same update (old, new).
    settle_update: fn(&Value, &mut Value),
    before_update: BeforeUpdate,
    /// After the object is gone.
    removed: fn(&Hooks, &Store, &Place, &Value),
    /// The writer waits until the server acts on the object.
    awaits_serving: bool,
    deletion: DeletionRules,
}

const DEFAULT: KindHooks = KindHooks {
    group: "",
    plural: "",
    admit: |_, _| Ok(()),
    before_create: |_, _, _| Ok(Reservation(None)),
    settle_update: |_, _| {},
    before_update: |_, _, _, _, _| Ok(Reservation(None)),
    removed: |_, _, _, _| {},
    awaits_serving: false,
    deletion: DEFAULT_DELETION,
};

static TABLE: &[KindHooks] = &[
    KindHooks { plural: "namespaces", deletion: namespace::DELETION, ..DEFAULT },
    KindHooks {
        plural: "pods",
        admit: classes::admit_pod,
        settle_update: classes::keep_priority,
        deletion: pod::DELETION,
        ..DEFAULT
    },
    KindHooks { plural: "persistentvolumeclaims", admit: classes::admit_claim, ..DEFAULT },
    KindHooks {
        plural: "services",
        before_create: service::before_create,
        settle_update: service::settle_type,
        before_update: service::before_update,
        removed: service::removed,
        deletion: DeletionRules { answers_object: true, ..DEFAULT_DELETION },
        ..DEFAULT
    },
    KindHooks {
        plural: "serviceaccounts",
        deletion: DeletionRules { answers_object: true, ..DEFAULT_DELETION },
        ..DEFAULT
    },
    KindHooks {
        group: "batch",
        plural: "jobs",
        // For compatibility with the first clients of batch/v1; kubectl always says what it wants.
        deletion: DeletionRules { default_propagation: Propagation::Orphan, ..DEFAULT_DELETION },
        ..DEFAULT
    },
    KindHooks { group: "networking.k8s.io", plural: "ingresses", admit: classes::admit_ingress, ..DEFAULT },
    KindHooks {
        group: "scheduling.k8s.io",
        plural: "priorityclasses",
        before_create: classes::create_priority_class,
        before_update: classes::update_priority_class,
        ..DEFAULT
    },
    KindHooks {
        group: "apiextensions.k8s.io",
        plural: "customresourcedefinitions",
        before_create: definition::before_create,
        settle_update: definition::settle_update,
        before_update: definition::before_update,
        awaits_serving: true,
        deletion: definition::DELETION,
        ..DEFAULT
    },
    KindHooks {
        group: "certificates.k8s.io",
        plural: "certificatesigningrequests",
        before_create: csr::before_create,
        before_update: csr::before_update,
        ..DEFAULT
    },
    KindHooks { plural: "roles", ..ROLE },
    KindHooks { plural: "clusterroles", ..ROLE },
    KindHooks { plural: "rolebindings", ..BINDING },
    KindHooks { plural: "clusterrolebindings", ..BINDING },
];

const ROLE: KindHooks = KindHooks {
    group: "rbac.authorization.k8s.io",
    before_create: rbac::create_role,
    before_update: rbac::update_role,
    ..DEFAULT
};

const BINDING: KindHooks =
    KindHooks { before_create: rbac::create_binding, before_update: rbac::update_binding, ..ROLE };

static FALLBACK: KindHooks = DEFAULT;

/// The table and the state that its rows share.
pub(crate) struct Hooks {
    pub(crate) services: Arc<ServiceLedger>,
}

impl Hooks {
    /// `service_cidr` is address and prefix length.
    pub(crate) fn new(service_cidr: (Ipv4Addr, u8)) -> Result<Self, ApiServerError> {
        Ok(Self { services: Arc::new(ServiceLedger::new(service_cidr)?) })
    }

    fn row(place: &Place) -> &'static KindHooks {
        let GroupResource { group, resource } = place.kind.group_resource();
        TABLE.iter().find(|row| row.group == group && row.plural == resource).unwrap_or(&FALLBACK)
    }

    pub(crate) fn admit(write: &Write<'_>, object: &mut Value) -> Result<(), ApiError> {
        (Self::row(write.place).admit)(write, object)
    }

    pub(crate) fn before_create(
        &self,
        write: &Write<'_>,
        object: &mut Value,
    ) -> Result<Reservation, ApiError> {
        (Self::row(write.place).before_create)(self, write, object)
    }

    pub(crate) fn settle_update(place: &Place, old: &Value, new: &mut Value) {
        (Self::row(place).settle_update)(old, new);
    }

    pub(crate) fn before_update(
        &self,
        write: &Write<'_>,
        old: &Value,
        new: &mut Value,
        mode: Mode,
    ) -> Result<Reservation, ApiError> {
        (Self::row(write.place).before_update)(self, write, old, new, mode)
    }

    pub(crate) fn removed(&self, store: &Store, place: &Place, object: &Value) {
        (Self::row(place).removed)(self, store, place, object);
    }

    /// After a create or update at `revision`.
    pub(crate) async fn written(&self, registry: &Registry, place: &Place, revision: Revision) {
        if Self::row(place).awaits_serving {
            registry.served_at_least(revision).await;
        }
    }

    pub(crate) fn deletion_rules(place: &Place) -> &'static DeletionRules {
        &Self::row(place).deletion
    }

    /// Whether something but `metadata.finalizers` holds a deleted object.
    pub(crate) fn holds(place: &Place, object: &Value) -> bool {
        (Self::row(place).deletion.holds)(object)
    }
}
