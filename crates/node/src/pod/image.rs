//! The image of a container: from the store, or from its registry as the pull policy says.
//!
//! With `Always` the registry decides, and says no for this pod's credentials; only when it cannot be reached at all, the image of that
//! name in the store is taken, so that a machine without a network runs what was loaded into it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{LocalObjectReference, Pod, ServiceAccount};
use konzert_lifecycle::{Event, Failure, WaitReason, find};

use crate::pod::context::{PodContext, Prepared};
use crate::ports::{FoundImage, ImageFault, PortError, PullFault, PullSecret, chain};
use crate::recorder::Severity;
use crate::sources::{SourceKey, SourceKind};
use crate::spec::user::Accounts;

const DOCKER_CONFIG: &str = ".dockerconfigjson";
const DOCKER_CFG: &str = ".dockercfg";
const HINT: &str = "load it with `konzert image load`";

/// Why there is no image.
struct Refusal {
    reason: WaitReason,
    message: String,
}

/// Which image a container gets, and what is said about it.
struct Obtained {
    image: FoundImage,
    told: String,
}

/// One look for an image.
struct Look<'a> {
    context: &'a PodContext,
    pod: &'a Pod,
    container: &'a str,
    image: &'a str,
}

/// Finds or pulls the image and prepares the root file system.
pub(crate) async fn check(context: &PodContext, name: String, attempt: u32, image: String) -> Event {
    let pod = context.pod();
    let policy = find(&pod, &name).and_then(|of| of.spec.image_pull_policy.clone());
    let look = Look { context, pod: &pod, container: &name, image: &image };
    let refused = match look.obtain(policy.as_deref()).await {
        Ok(Obtained { image: found, told }) => match prepare(context, &name, attempt, found).await {
            Ok(prepared) => {
                let image_id = prepared.image.digest.clone();
                context.prepared.lock().insert((name.clone(), attempt), Arc::new(prepared));
                context.tell(Some(&name), Severity::Normal, "Pulled", told);
                return Event::ImageReady { name, attempt, image_id };
            }
            Err(error) => Refusal { reason: WaitReason::CreateContainerError, message: chain(&*error) },
        },
        Err(refused) => refused,
    };
    let Refusal { reason, message } = refused;
    let told = format!("Failed to pull image \"{image}\": {message}");
    context.tell(Some(&name), Severity::Warning, "Failed", told);
    context.tell(Some(&name), Severity::Warning, "Failed", format!("Error: {}", reason.as_str()));
    Event::Failed { name, attempt, failure: Failure::Hold(reason, message) }
}

async fn prepare(
    context: &PodContext,
    name: &str,
    attempt: u32,
    image: FoundImage,
) -> Result<Prepared, PortError> {
    let (images, key) = (context.shared.images.clone(), context.id(name, attempt).to_string());
    tokio::task::spawn_blocking(move || {
        let rootfs = images.prepare(&key, &image.digest)?;
        let accounts = Accounts::read(&rootfs);
        Ok(Prepared { image, rootfs, accounts })
    })
    .await?
}

impl Look<'_> {
    async fn obtain(&self, policy: Option<&str>) -> Result<Obtained, Refusal> {
        let image = self.image;
        let found = self.find().await?;
        match (policy, found) {
            (Some("Never"), None) => {
                let message = format!(
                    "image \"{image}\" is not in the content store and its pull policy is Never: {HINT}"
                );
                Err(Refusal { reason: WaitReason::ErrImageNeverPull, message })
            }
            (Some("Always"), found) => self.pull(found, true).await,
            (_, None) => self.pull(None, false).await,
            (_, Some(found)) => Ok(present(image, found)),
        }
    }

    async fn find(&self) -> Result<Option<FoundImage>, Refusal> {
        let (images, reference) = (self.context.shared.images.clone(), self.image.to_owned());
        match tokio::task::spawn_blocking(move || images.find(&reference)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(fault @ ImageFault::Reference(_))) => {
                Err(Refusal { reason: WaitReason::InvalidImageName, message: chain(&fault) })
            }
            Ok(Err(fault)) => Err(Refusal { reason: WaitReason::ErrImagePull, message: chain(&fault) }),
            Err(error) => {
                Err(Refusal { reason: WaitReason::CreateContainerError, message: error.to_string() })
            }
        }
    }

    async fn pull(&self, here: Option<FoundImage>, always: bool) -> Result<Obtained, Refusal> {
        let image = self.image;
        self.context.tell(
            Some(self.container),
            Severity::Normal,
            "Pulling",
            format!("Pulling image \"{image}\""),
        );
        let secrets = self.secrets().await;
        let asked = Instant::now();
        let turn = self.context.shared.pulls.turn(image).await;
        if !always && let Some(found) = self.find().await? {
            // Somebody else got it meanwhile.
            return Ok(present(image, found));
        }
        let began = Instant::now();
        let (images, reference) = (self.context.shared.images.clone(), image.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let pulled = images.pull(&reference, &secrets);
            drop(turn);
            pulled
        });
        let mut pod = self.context.pod.clone();
        let pulled = tokio::select! {
            pulled = work => pulled,
            // The pod must not wait for an image it does not need any more. The pull goes on: the next pod may need it.
            Ok(_) = pod.wait_for(|pod| pod.metadata.deletion_timestamp.is_some()) => {
                return Err(refused("the pod is being deleted"));
            }
        };
        match pulled {
            Ok(Ok(found)) => {
                let (took, waited) = (shown(began.elapsed()), shown(asked.elapsed()));
                let size = found.size;
                let told = format!(
                    "Successfully pulled image \"{image}\" in {took} ({waited} including waiting). Image size: {size} bytes."
                );
                Ok(Obtained { image: found, told })
            }
            Ok(Err(PullFault { unreachable: true, cause })) if here.is_some() => {
                let because = chain(&*cause);
                tracing::warn!(image, because, "the registry cannot be asked: what is here is used");
                let mut present = present(image, here.unwrap_or_default());
                present.told = format!("{}; its registry cannot be asked: {because}", present.told);
                Ok(present)
            }
            Ok(Err(PullFault { cause, .. })) => Err(refused(&format!(
                "image \"{image}\" is not in the content store and cannot be pulled: {HINT}: {}",
                chain(&*cause)
            ))),
            Err(error) => Err(refused(&error.to_string())),
        }
    }

    /// What the pod, or else its service account, names. What cannot be read is told, and the pull is tried without it.
    async fn secrets(&self) -> Vec<PullSecret> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for LocalObjectReference { name } in self.secret_names().await {
            let namespace = self.context.namespace.clone();
            let key = SourceKey { kind: SourceKind::Secret, namespace, name: name.clone() };
            let source = self.context.shared.sources.fetch(&key).await.ok().flatten();
            let secret = source.and_then(|source| {
                let new = source.get(DOCKER_CONFIG).cloned().map(PullSecret::DockerConfig);
                new.or_else(|| source.get(DOCKER_CFG).cloned().map(PullSecret::DockerCfg))
            });
            match secret {
                Some(secret) => found.push(secret),
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.context.tell(None, Severity::Warning, "FailedToRetrieveImagePullSecret", message);
        }
        found
    }

    async fn secret_names(&self) -> Vec<LocalObjectReference> {
        let spec = self.pod.spec.as_ref();
        if let Some(own) = spec.and_then(|spec| spec.image_pull_secrets.clone()).filter(|own| !own.is_empty())
        {
            return own;
        }
        let account = spec.and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let client = self.context.shared.client.clone();
        let api = kube::Api::<ServiceAccount>::namespaced(client, &self.context.namespace);
        match api.get_opt(account).await {
            Ok(account) => account.and_then(|account| account.image_pull_secrets).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, account, "the service account's pull secrets are not known");
                Vec::new()
            }
        }
    }
}

fn present(image: &str, found: FoundImage) -> Obtained {
    let told = format!("Container image \"{image}\" already present on machine");
    Obtained { image: found, told }
}

fn refused(message: &str) -> Refusal {
    Refusal { reason: WaitReason::ErrImagePull, message: message.to_owned() }
}

/// A time as Go writes it, to the millisecond.
fn shown(time: Duration) -> String {
    let millis = time.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    match (minutes, rest) {
        (0, rest) if rest < 1000 => format!("{rest}ms"),
        (0, _) => format!("{seconds}s"),
        (minutes, _) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        for (millis, want) in
            [(0, "0ms"), (7, "7ms"), (1000, "1s"), (1230, "1.23s"), (61_005, "1m1.005s"), (120_000, "2m0s")]
        {
            assert_eq!(shown(Duration::from_millis(millis)), want);
        }
    }
}
