//! The profile "restricted" of Pod Security, for clusters that do not enforce it: Kubernetes does since
//! 1.23. <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>

use k8s_openapi::api::core::v1::{
    AppArmorProfile, ContainerPort, Lifecycle, LifecycleHandler, Pod, PodSpec, Probe,
    SELinuxOptions, SeccompProfile, SecurityContext, Volume, WindowsSecurityContextOptions,
};

/// The annotations that set an AppArmor profile before 1.30.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The SELinux types that may be asked for.
const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// The kernel parameters that a pod may set.
const SYSCTLS: [&str; 11] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// What of a container matters here, of whichever sort it is.
struct Container<'a> {
    name: &'a str,
    context: SecurityContext,
    ports: &'a [ContainerPort],
    probes: [Option<&'a Probe>; 3],
    lifecycle: Option<&'a Lifecycle>,
}

/// In which respects a pod violates the profile, each with the field.
pub(super) fn violations(pod: &Pod) -> Vec<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let mut found = of_the_pod(&spec);
    for (key, value) in pod.metadata.annotations.iter().flatten() {
        let is_allowed =
            value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APP_ARMOR) && !is_allowed {
            found.push(format!("annotation {key} is {value}"));
        }
    }
    for volume in spec.volumes.iter().flatten().filter(|volume| !is_restricted(volume)) {
        found.push(format!("volume {} is of a type that is not allowed", volume.name));
    }
    for container in containers(&spec) {
        let of_it = of_a_container(&container, &spec);
        found.extend(of_it.into_iter().map(|what| format!("container {}: {what}", container.name)));
    }
    found
}

fn of_the_pod(spec: &PodSpec) -> Vec<String> {
    let context = spec.security_context.clone().unwrap_or_default();
    let mut found = Vec::new();
    for (field, value) in
        [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
    {
        if value == Some(true) {
            found.push(format!("{field} is true"));
        }
    }
    for sysctl in context.sysctls.iter().flatten() {
        if !SYSCTLS.contains(&sysctl.name.as_str()) {
            found.push(format!("sysctl {} is not safe", sysctl.name));
        }
    }
    found.extend(of_any_context(
        context.se_linux_options.as_ref(),
        context.app_armor_profile.as_ref(),
        context.windows_options.as_ref(),
    ));
    found
}

/// The rules for what stands in the security contexts of pods and of containers alike.
fn of_any_context(
    se_linux: Option<&SELinuxOptions>,
    app_armor: Option<&AppArmorProfile>,
    windows: Option<&WindowsSecurityContextOptions>,
) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(options) = se_linux {
        let is_set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.is_empty());
        let type_ = options.type_.as_deref().unwrap_or_default();
        if !SELINUX_TYPES.contains(&type_) || is_set(&options.user) || is_set(&options.role) {
            found.push("seLinuxOptions set a type, user or role that is not allowed".to_owned());
        }
    }
    if app_armor.is_some_and(|profile| profile.type_ == "Unconfined") {
        found.push("appArmorProfile.type is Unconfined".to_owned());
    }
    if windows.is_some_and(|options| options.host_process == Some(true)) {
        found.push("windowsOptions.hostProcess is true".to_owned());
    }
    found
}

fn of_a_container(container: &Container<'_>, spec: &PodSpec) -> Vec<String> {
    let context = &container.context;
    let pod = spec.security_context.clone().unwrap_or_default();
    let mut found = of_any_context(
        context.se_linux_options.as_ref(),
        context.app_armor_profile.as_ref(),
        context.windows_options.as_ref(),
    );
    let mut require = |is_met: bool, rule: &str| {
        if !is_met {
            found.push(rule.to_owned());
        }
    };
    require(context.privileged != Some(true), "privileged is true");
    require(
        context.allow_privilege_escalation == Some(false),
        "allowPrivilegeEscalation is not false",
    );
    require(
        context.run_as_non_root.or(pod.run_as_non_root) == Some(true),
        "runAsNonRoot is not true",
    );
    require(context.run_as_user.or(pod.run_as_user) != Some(0), "runAsUser is 0");
    require(
        context.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()).is_some_and(is_confined),
        "seccompProfile.type is neither RuntimeDefault nor Localhost",
    );
    require(
        context.proc_mount.as_deref().is_none_or(|mount| mount == "Default"),
        "procMount is not Default",
    );
    let capabilities = context.capabilities.clone().unwrap_or_default();
    require(
        capabilities.drop.iter().flatten().any(|name| name == "ALL"),
        "capabilities.drop does not hold ALL",
    );
    require(
        capabilities.add.iter().flatten().all(|name| name == "NET_BIND_SERVICE"),
        "capabilities.add holds more than NET_BIND_SERVICE",
    );
    require(
        container.ports.iter().all(|port| port.host_port.unwrap_or_default() == 0),
        "a port has a hostPort",
    );
    require(!names_a_host(container), "a probe or lifecycle hook names a host");
    found
}

fn is_confined(profile: &SeccompProfile) -> bool {
    matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost")
}

/// Since 1.34 probes and hooks may not connect to other hosts.
fn names_a_host(container: &Container<'_>) -> bool {
    let is_set = |host: Option<&String>| host.is_some_and(|host| !host.is_empty());
    let probes = container.probes.iter().flatten().any(|probe| {
        is_set(probe.http_get.as_ref().and_then(|get| get.host.as_ref()))
            || is_set(probe.tcp_socket.as_ref().and_then(|socket| socket.host.as_ref()))
    });
    let hook = |hook: &LifecycleHandler| {
        is_set(hook.http_get.as_ref().and_then(|get| get.host.as_ref()))
            || is_set(hook.tcp_socket.as_ref().and_then(|socket| socket.host.as_ref()))
    };
    let hooks = container.lifecycle.into_iter();
    let mut hooks = hooks.flat_map(|hooks| [&hooks.post_start, &hooks.pre_stop]).flatten();
    probes || hooks.any(hook)
}

/// A volume is of exactly one type, and these are the allowed ones.
fn is_restricted(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

fn containers(spec: &PodSpec) -> Vec<Container<'_>> {
    let ordinary = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ordinary = ordinary.map(|container| Container {
        name: &container.name,
        context: container.security_context.clone().unwrap_or_default(),
        ports: container.ports.as_deref().unwrap_or_default(),
        probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
            .map(Option::as_ref),
        lifecycle: container.lifecycle.as_ref(),
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| Container {
        name: &container.name,
        context: container.security_context.clone().unwrap_or_default(),
        ports: container.ports.as_deref().unwrap_or_default(),
        probes: [&container.liveness_probe, &container.readiness_probe, &container.startup_probe]
            .map(Option::as_ref),
        lifecycle: container.lifecycle.as_ref(),
    });
    ordinary.chain(ephemeral).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A pod that keeps to the profile, but for a change.
    fn changed(pointer: &str, value: Value) -> Vec<String> {
        let mut pod = json!({
            "metadata": {"annotations": {}},
            "spec": {
                "securityContext": {
                    "runAsNonRoot": true,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": [{"name": "v", "emptyDir": {}}],
                "containers": [{
                    "name": "c",
                    "livenessProbe": {"httpGet": {"port": 80}},
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
            },
        });
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        pod.pointer_mut(parent).expect("a parent")[key] = value;
        violations(&serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn a_pod_that_keeps_to_the_profile_passes() {
        for (pointer, value) in [
            ("/spec/hostNetwork", json!(false)),
            ("/spec/securityContext/runAsUser", json!(1000)),
            ("/spec/securityContext/sysctls", json!([{"name": "net.ipv4.tcp_rmem", "value": "1"}])),
            ("/spec/containers/0/securityContext/capabilities/add", json!(["NET_BIND_SERVICE"])),
            ("/spec/containers/0/securityContext/seLinuxOptions", json!({"type": "container_t"})),
            ("/spec/containers/0/ports", json!([{"containerPort": 80, "hostPort": 0}])),
            ("/metadata/annotations", json!({format!("{APP_ARMOR}c"): "runtime/default"})),
        ] {
            assert_eq!(changed(pointer, value), Vec::<String>::new(), "{pointer}");
        }
    }

    #[test]
    fn each_rule_is_checked() {
        let container = |field: &str| format!("/spec/containers/0/{field}");
        let context = |field: &str| container(&format!("securityContext/{field}"));
        for (pointer, value) in [
            ("/metadata/annotations".to_owned(), json!({format!("{APP_ARMOR}c"): "unconfined"})),
            ("/spec/hostNetwork".to_owned(), json!(true)),
            ("/spec/hostPID".to_owned(), json!(true)),
            ("/spec/hostIPC".to_owned(), json!(true)),
            ("/spec/volumes".to_owned(), json!([{"name": "v", "hostPath": {"path": "/"}}])),
            ("/spec/securityContext/runAsUser".to_owned(), json!(0)),
            ("/spec/securityContext/runAsNonRoot".to_owned(), json!(false)),
            ("/spec/securityContext/seccompProfile".to_owned(), json!(null)),
            (
                "/spec/securityContext/sysctls".to_owned(),
                json!([{"name": "kernel.msgmax", "value": "1"}]),
            ),
            ("/spec/securityContext/windowsOptions".to_owned(), json!({"hostProcess": true})),
            ("/spec/ephemeralContainers".to_owned(), json!([{"name": "e"}])),
            ("/spec/initContainers".to_owned(), json!([{"name": "i"}])),
            (container("securityContext"), json!(null)),
            (container("ports"), json!([{"containerPort": 80, "hostPort": 80}])),
            (container("livenessProbe"), json!({"httpGet": {"port": 80, "host": "example.org"}})),
            (
                container("lifecycle"),
                json!({"preStop": {"tcpSocket": {"port": 80, "host": "example.org"}}}),
            ),
            (context("privileged"), json!(true)),
            (context("allowPrivilegeEscalation"), json!(true)),
            (context("allowPrivilegeEscalation"), json!(null)),
            (context("runAsUser"), json!(0)),
            (context("runAsNonRoot"), json!(false)),
            (context("capabilities"), json!({"drop": ["KILL"]})),
            (context("capabilities"), json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
            (context("seccompProfile"), json!({"type": "Unconfined"})),
            (context("appArmorProfile"), json!({"type": "Unconfined"})),
            (context("seLinuxOptions"), json!({"type": "spc_t"})),
            (context("seLinuxOptions"), json!({"user": "system_u"})),
            (context("procMount"), json!("Unmasked")),
        ] {
            assert!(!changed(&pointer, value.clone()).is_empty(), "{pointer} may be {value}");
        }
    }
}
