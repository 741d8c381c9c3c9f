//! The checks: from facts to what to do about them.

use super::facts::{Cgroups, Facts, Tool};
use super::finding::{Finding, State};
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
            Some(cure) => Finding::not_good("docker", State::Bad, "no daemon answers", cure),
            None => Finding::not_good(
                "docker",
                State::Provided,
                "no daemon answers",
                "the first run installs Debian's docker.io and starts it",
            ),
        },
    }
}

/// Nothing to report while no daemon is there to look at.
fn capabilities(facts: &Facts) -> Option<Finding> {
    let subject = "capabilities";
    let docker = facts.docker.as_ref().ok()?;
    Some(if docker.unavailable.is_empty() {
        Finding::good(subject, "privileged containers can have all")
    } else {
        let found = format!("Docker lacks {}", docker.unavailable.join(", "));
        if docker.shim {
            Finding::good(subject, format!("{found}; the runtime shim does without"))
        } else if facts.host.root {
            let cure = "the first run makes a runtime that does without Docker's default";
            Finding::not_good(subject, State::Provided, found, cure)
        } else {
            let cure = "run `cargo xtask e2e` as root once: it adapts Docker";
            Finding::not_good(subject, State::Bad, found, cure)
        }
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
            Finding::not_good(subject, State::Bad, found, format!("remove it, or {cure}"))
        }
        None if facts.host.is_debian() => {
            let cure = "the first run builds it with Go or fetches Debian's, into the cache";
            Finding::not_good(subject, State::Provided, "missing", cure)
        }
        None => Finding::not_good(subject, State::Bad, "missing", cure),
    }
}

fn static_linking(facts: &Facts) -> Finding {
    let subject = "static libc";
    match &facts.static_libc {
        Some(path) => Finding::good(subject, path.display().to_string()),
        None => Finding::not_good(
            subject,
            State::Bad,
            "the C compiler finds no libc.a to link static binaries with",
            "install a C compiler with a static C library (Debian: gcc libc6-dev, Fedora: gcc glibc-static)",
        ),
    }
}

/// Matters only where no registry answers, which cannot be told without asking one.
fn go(facts: &Facts) -> Finding {
    let subject = "go";
    let cure = format!("only where images cannot be pulled: {}", go::CURE);
    match &facts.go {
        Some(version) if go::is_recent(version) => Finding::good(subject, version.clone()),
        Some(version) => {
            let found = format!("{version}, too old to build node images");
            Finding::not_good(subject, State::Doubtful, found, cure)
        }
        None => Finding::not_good(subject, State::Doubtful, "missing", cure),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    let subject = "cgroups";
    match facts.cgroups {
        Some(Cgroups::V2) => Finding::good(subject, "version 2"),
        Some(Cgroups::V1) => {
            Finding::good(subject, "version 1, for official node images up to Kubernetes 1.34")
        }
        None => Finding::not_good(
            subject,
            State::Bad,
            "none at /sys/fs/cgroup",
            "mount them (Debian: install cgroupfs-mount), containers need them",
        ),
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
    Finding::not_good(subject, State::Doubtful, found.join(", "), cure)
}

fn memory(facts: &Facts) -> Finding {
    let subject = "memory";
    let Some(available) = facts.memory else {
        return Finding::not_good(subject, State::Doubtful, "cannot be told", "have 4 GiB");
    };
    let cure = "stop other programs, or ask for fewer nodes (--nodes)";
    amount(subject, available, MEMORY_NEEDED, MEMORY_WANTED, "available", cure)
}

fn disk(facts: &Facts) -> Option<Finding> {
    let fullest = facts.disks.first()?;
    let place = format!("free at {}", fullest.path.display());
    let cure = "make room: docker system prune, cargo clean";
    Some(amount("disk", fullest.free, DISK_NEEDED, DISK_WANTED, &place, cure))
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
    let state = if have < needed {
        State::Bad
    } else if have < wanted {
        State::Doubtful
    } else {
        return Finding::good(subject, found);
    };
    Finding::not_good(subject, state, found, format!("{} are better; {cure}", gib(wanted)))
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
    let (state, cure) = if facts.host.root {
        (State::Provided, "a run that cannot pull images installs them".to_owned())
    } else {
        let cure = format!("only where images cannot be pulled: sudo apt-get install {list}");
        (State::Doubtful, cure)
    };
    Some(Finding::not_good(subject, state, format!("missing: {list}"), cure))
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Disk, Docker, Inotify};
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
            cgroups: Some(Cgroups::V2),
            inotify: Inotify { watches: Some(WATCHES_WANTED), instances: Some(INSTANCES_WANTED) },
            memory: Some(16 << 10),
            disks: vec![Disk { path: "/".into(), free: 80 << 10 }],
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
            facts.disks[0].free = disk;
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
