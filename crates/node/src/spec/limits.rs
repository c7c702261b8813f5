//! Requests and limits as cgroup numbers.

use k8s_openapi::api::core::v1::{Container, Pod};
use konzert_runtime::Resources;

use crate::fault::ConfigFault;
use crate::spec::downward::parse;

const PERIOD_US: u64 = 100_000;

/// The cgroup limits of `container`.
pub(crate) fn resources(container: &Container) -> Result<Resources, ConfigFault> {
    let quantity = |side: &str, name: &str| {
        let map = container.resources.as_ref().and_then(|all| match side {
            "limits" => all.limits.as_ref(),
            _ => all.requests.as_ref(),
        });
        map.and_then(|map| map.get(name))
            .map(|text| parse(&format!("resources.{side}.{name}"), &text.0))
            .transpose()
    };
    let cpu_limit = quantity("limits", "cpu")?.map(|cpu| cpu.milli_value()).filter(|milli| *milli > 0);
    let request = quantity("requests", "cpu")?.map(|cpu| cpu.milli_value()).or(cpu_limit).unwrap_or(0);
    let shares = u64::try_from(request.saturating_mul(1024) / 1000).unwrap_or(0).clamp(2, 262_144);
    Ok(Resources {
        memory_limit_bytes: quantity("limits", "memory")?
            .map(|memory| memory.value())
            .filter(|bytes| *bytes > 0),
        // The kernel refuses quotas below one millisecond.
        cpu_quota_us: cpu_limit.map(|milli| milli.saturating_mul(100).max(1000)),
        cpu_period_us: cpu_limit.map(|_| PERIOD_US),
        cpu_shares: Some(shares),
        pids_limit: None,
    })
}

/// `oom_score_adj` by quality of service: guaranteed pods last, best-effort pods first.
pub(crate) fn oom_score_adj(pod: &Pod, container: &Container, memory_capacity: i64) -> i32 {
    let class = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
    match class {
        Some("Guaranteed") => -997,
        Some("BestEffort") => 1000,
        _ => {
            let requests = container.resources.as_ref().and_then(|all| all.requests.as_ref());
            let request = requests.and_then(|map| map.get("memory"));
            let bytes =
                request.and_then(|text| parse("memory", &text.0).ok()).map_or(0, |memory| memory.value());
            let share = 1000_i128 * i128::from(bytes) / i128::from(memory_capacity.max(1));
            i32::try_from(1000 - share).unwrap_or(3).clamp(3, 999)
        }
    }
}
