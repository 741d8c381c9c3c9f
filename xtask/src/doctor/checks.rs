//! The checks: from facts to what to do about them.

use super::facts::{Facts, Tool};
use super::finding::Finding;
use crate::offline::provision::{KIND, KUBECTL, Program, docker, go};

/// In MiB. Three nodes of a cluster take some 2 GiB; compiling beside them as much again.
const MEMORY_NEEDED: u64 = 2 << 10;
const MEMORY_WANTED: u64 = 4 << 10;

/// In MiB. Docker and cargo fill some 12 GiB in a first run that builds the node image.
const DISK_NEEDED: u64 = 5 << 10;
const DISK_WANTED: u64 = 15 << 10;

/// What kind recommends for clusters of several nodes:
/// <https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files>
const WATCHES_WANTED: u64 = 524_288;
const INSTANCES_WANTED: u64 = 512;

/// Every check, in the order of a run.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![docker(facts)];
    findings.extend(capabilities(facts));
    findings.extend([
        tool(KIND, facts.kind.as_ref(), facts),
        tool(KUBECTL, facts.kubectl.as_ref(), facts),
        static_linking(facts),
        go(facts),
        cgroups(facts),
        inotify(facts),
        memory(facts),
    ]);
    findings.extend(disk(facts));
    findings.extend(packages(facts));
    findings
}

fn docker(facts: &Facts) -> Finding {
    match &facts.docker {
        Ok(docker) => Finding::good("docker", format!("version {}", docker.version)),
        Err(silence) => match docker::cure(&facts.host, silence) {
            Some(cure) => Finding::bad("docker", "no daemon answers", cure),
            None => {
                let cure = "the first run installs Debian's docker.io and starts it";
                Finding::provided("docker", "no daemon answers", cure)
            }
        },
    }
}

/// Nothing to report while no daemon is there to look at.
fn capabilities(facts: &Facts) -> Option<Finding> {
    let subject = "capabilities";
    let docker = facts.docker.as_ref().ok()?;
    let found = format!("Docker lacks {}", docker.unavailable.join(", "));
    Some(if docker.unavailable.is_empty() {
        Finding::good(subject, "privileged containers can have all")
    } else if docker.shim {
        Finding::good(subject, format!("{found}; the runtime shim does without"))
    } else if facts.host.root {
        let cure = "the first run makes a runtime that does without Docker's default";
        Finding::provided(subject, found, cure)
    } else {
        Finding::bad(subject, found, "run `cargo xtask e2e` as root once: it adapts Docker")
    })
}

fn tool(program: Program, tool: Option<&Tool>, facts: &Facts) -> Finding {
    let Program { name: subject, cure, .. } = program;
    match tool {
        Some(Tool { path, version: Some(version) }) => {
            Finding::good(subject, format!("{version} ({})", path.display()))
        }
        Some(Tool { path, version: None }) => {
            let found = format!("{} does not run", path.display());
            Finding::bad(subject, found, &format!("remove it, or {cure}"))
        }
        None if facts.host.is_debian() => {
            let cure = "the first run builds it with Go or fetches Debian's, into the cache";
            Finding::provided(subject, "missing", cure)
        }
        None => Finding::bad(subject, "missing", cure),
    }
}

fn static_linking(facts: &Facts) -> Finding {
    let subject = "static libc";
    if let Some(path) = &facts.static_libc {
        return Finding::good(subject, path.display().to_string());
    }
    let found = "the C compiler finds no libc.a to link static binaries with";
    let cure = "install a C compiler with a static C library (Debian: gcc libc6-dev, Fedora: gcc glibc-static)";
    Finding::bad(subject, found, cure)
}

/// Matters only where no registry answers, which cannot be told without asking one.
fn go(facts: &Facts) -> Finding {
    let subject = "go";
    let cure = format!("only where images cannot be pulled: {}", go::CURE);
    match &facts.go {
        Some(version) if go::is_recent(version) => Finding::good(subject, version.clone()),
        Some(version) => {
            Finding::doubtful(subject, format!("{version}, too old to build node images"), &cure)
        }
        None => Finding::doubtful(subject, "missing", &cure),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let subject = "cgroups";
    match facts.cgroups {
        Some(2) => Finding::good(subject, "version 2"),
        Some(_) => {
            Finding::good(subject, "version 1, for official node images up to Kubernetes 1.34")
        }
        None => {
            let cure = "mount them (Debian: install cgroupfs-mount), containers need them";
            Finding::bad(subject, "none at /sys/fs/cgroup", cure)
        }
    }
}

fn inotify(facts: &Facts) -> Finding {
    let subject = "inotify";
    let limits = [
        ("max_user_watches", facts.inotify.watches, WATCHES_WANTED),
        ("max_user_instances", facts.inotify.instances, INSTANCES_WANTED),
    ];
    let known = limits.map(|(name, limit, wanted)| (name, limit.unwrap_or(wanted), wanted));
    let found: Vec<_> = known.map(|(name, limit, _)| format!("{name}={limit}")).into();
    let low = known.iter().filter(|(_, limit, wanted)| limit < wanted);
    let settings: Vec<_> =
        low.map(|(name, _, wanted)| format!("fs.inotify.{name}={wanted}")).collect();
    if settings.is_empty() {
        return Finding::good(subject, found.join(", "));
    }
    let cure =
        format!("if pods fail with \"too many open files\": sudo sysctl {}", settings.join(" "));
    Finding::doubtful(subject, found.join(", "), &cure)
}

fn memory(facts: &Facts) -> Finding {
    let cure = "stop other programs, or ask for fewer nodes (--nodes)";
    match facts.memory {
        Some(have) => amount("memory", have, MEMORY_NEEDED, MEMORY_WANTED, "available", cure),
        None => Finding::doubtful("memory", "cannot be told", "have 4 GiB"),
    }
}

fn disk(facts: &Facts) -> Option<Finding> {
    let disk = facts.disk.as_ref()?;
    let place = format!("free at {}", disk.path.display());
    let cure = "make room: docker system prune, cargo clean";
    Some(amount("disk", disk.free, DISK_NEEDED, DISK_WANTED, &place, cure))
}

/// Compares amounts in MiB.
fn amount(
    subject: &'static str,
    have: u64,
    needed: u64,
    wanted: u64,
    what: &str,
    cure: &str,
) -> Finding {
    let found = format!("{} {what}", gib(have));
    let cure = format!("{} are better; {cure}", gib(wanted));
    if have < needed {
        Finding::bad(subject, found, &cure)
    } else if have < wanted {
        Finding::doubtful(subject, found, &cure)
    } else {
        Finding::good(subject, found)
    }
}

fn gib(mib: u64) -> String {
    let (whole, rest) = (mib / 1024, mib % 1024);
    format!("{whole}.{} GiB", rest * 10 / 1024)
}

/// Matters only where no registry answers, which cannot be told without asking one.
fn packages(facts: &Facts) -> Option<Finding> {
    let subject = "packages";
    if !facts.host.is_debian() {
        return None;
    }
    if facts.missing_packages.is_empty() {
        return Some(Finding::good(subject, "all that building a node image takes"));
    }
    let list = facts.missing_packages.join(" ");
    let found = format!("missing: {list}");
    Some(if facts.host.root {
        Finding::provided(subject, found, "a run that cannot pull images installs them")
    } else {
        let cure = format!("only where images cannot be pulled: sudo apt-get install {list}");
        Finding::doubtful(subject, found, &cure)
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Disk, Docker, Inotify};
    use super::super::finding::State;
    use super::*;
    use crate::offline::provision::docker::Silence;
    use crate::offline::provision::host::Host;

    fn host(id: &str, root: bool) -> Host {
        Host { root, id: id.to_owned(), codename: String::new(), name: id.to_owned() }
    }

    fn program(name: &str) -> Option<Tool> {
        Some(Tool { path: format!("/usr/bin/{name}").into(), version: Some(format!("{name} 1")) })
    }

    /// A machine that has everything.
    fn ready() -> Facts {
        Facts {
            host: host("debian", true),
            docker: Ok(Docker {
                version: "28.0.0".to_owned(),
                unavailable: Vec::new(),
                shim: false,
            }),
            kind: program("kind"),
            kubectl: program("kubectl"),
            go: Some("go1.26.8".to_owned()),
            cgroups: Some(2),
            inotify: Inotify { watches: Some(WATCHES_WANTED), instances: Some(INSTANCES_WANTED) },
            memory: Some(16 << 10),
            disk: Some(Disk { path: "/".into(), free: 80 << 10 }),
            static_libc: Some("/usr/lib/libc.a".into()),
            missing_packages: Vec::new(),
        }
    }

    fn silent() -> Result<Docker, Silence> {
        Err(Silence::new("Cannot connect to the Docker daemon.", false))
    }

    fn states(facts: &Facts) -> Vec<(&'static str, State)> {
        let not_good = |finding: &Finding| finding.state != State::Good;
        let findings = all(facts).into_iter().filter(not_good);
        findings.map(|finding| (finding.subject, finding.state)).collect()
    }

    #[test]
    fn each_shortcoming_is_named_and_told_how_bad_it_is() {
        let lacking = |facts: &mut Facts, shim, root| {
            facts.host.root = root;
            facts.docker = Ok(Docker {
                version: String::new(),
                unavailable: vec!["CAP_SYS_RESOURCE".to_owned()],
                shim,
            });
        };
        let scarce = |facts: &mut Facts, memory, disk| {
            facts.memory = Some(memory);
            facts.disk = Some(Disk { path: "/".into(), free: disk });
        };
        let broken = || Some(Tool { path: "/opt/kind".into(), version: None });
        type Case<'c> = (&'c dyn Fn(&mut Facts), &'c [(&'static str, State)]);
        let cases: [Case<'_>; 10] = [
            (&|_| {}, &[]),
            (&|it| it.go = None, &[("go", State::Doubtful)]),
            (&|it| it.go = Some("go1.19.8".to_owned()), &[("go", State::Doubtful)]),
            // Until the shim is in place.
            (&|it| lacking(it, true, true), &[]),
            (&|it| lacking(it, false, true), &[("capabilities", State::Provided)]),
            (&|it| lacking(it, false, false), &[("capabilities", State::Bad)]),
            (
                &|it| scarce(it, MEMORY_WANTED - 1, DISK_WANTED - 1),
                &[("memory", State::Doubtful), ("disk", State::Doubtful)],
            ),
            (
                &|it| scarce(it, MEMORY_NEEDED - 1, DISK_NEEDED - 1),
                &[("memory", State::Bad), ("disk", State::Bad)],
            ),
            (&|it| it.kind = broken(), &[("kind", State::Bad)]),
            (&|it| it.cgroups = None, &[("cgroups", State::Bad)]),
        ];
        for (change, expected) in cases {
            let mut facts = ready();
            change(&mut facts);
            assert_eq!(states(&facts), expected);
        }
        assert!(go(&Facts { go: None, ..ready() }).cure.contains("Go 1.26"));
    }

    #[test]
    fn root_on_debian_has_nothing_to_do_by_hand() {
        let facts = Facts {
            docker: silent(),
            kind: None,
            kubectl: None,
            missing_packages: vec!["debootstrap"],
            ..ready()
        };
        let missing = ["docker", "kind", "kubectl", "packages"];
        assert_eq!(states(&facts), missing.map(|subject| (subject, State::Provided)));
    }

    #[test]
    fn others_get_the_list_of_what_to_install() {
        let facts = Facts {
            host: host("fedora", false),
            docker: silent(),
            kind: None,
            kubectl: None,
            static_libc: None,
            ..ready()
        };
        let missing = ["docker", "kind", "kubectl", "static libc"];
        assert_eq!(states(&facts), missing.map(|subject| (subject, State::Bad)));
        let cures = all(&facts).into_iter().map(|finding| finding.cure);
        assert_eq!(cures.filter(|cure| cure.contains("install")).count(), missing.len());
    }

    #[test]
    fn low_inotify_limit_names_the_setting_to_raise_and_no_other() {
        let mut facts = ready();
        facts.inotify.instances = Some(128);
        let finding = inotify(&facts);
        assert_eq!(finding.state, State::Doubtful);
        assert!(finding.cure.ends_with("sysctl fs.inotify.max_user_instances=512"), "{finding}");
    }
}
