//! A node of a kind cluster: a container in which commands can be run.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use harness::deadline::Deadline;
use harness::process::{Cmd, LogDir};

use super::provider::Provider;

/// How long a command in a node may take unless it waits for something.
const EXEC_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for a file without asking anew from outside: that would start a process in Docker and in the
/// node each time, and take the processor from what is waited for. `$2` is what is waited for: `gone` or
/// `there`. Prints the time.
const WAIT: &str = r#"
rounds=$3
while if [ -e "$1" ]; then [ "$2" != there ]; else [ "$2" != gone ]; fi; do
    [ "$rounds" -gt 0 ] || exit 9
    rounds=$((rounds - 1))
    sleep 0.05
done
date +%s.%N
"#;

/// Prints `name kilobytes` for each process of these names (one word each).
const RESIDENT: &str = r#"
for status in /proc/[0-9]*/status; do
    awk -v wanted=" $* " '
        $1 == "Name:" { name = $2 }
        $1 == "VmRSS:" && index(wanted, " " name " ") { print name, $2 }
    ' "$status" 2>/dev/null
done
exit 0
"#;

/// Resident memory in KiB by process name; processes of one name are added up.
pub type ResidentMemory = BTreeMap<String, u64>;

/// A node of a kind cluster.
#[derive(Clone, Debug)]
pub struct Node {
    provider: Provider,
    name: String,
    logs: LogDir,
}

impl Node {
    pub(crate) fn new(provider: Provider, name: &str, logs: &LogDir) -> Self {
        Self { provider, name: name.to_owned(), logs: logs.clone() }
    }

    /// Its name, in Kubernetes and in Docker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is to be done to the node from outside: a command that takes its name last.
    pub(crate) fn outside(&self, command: &[&str]) -> Cmd {
        self.provider.cmd().args(command).arg(&self.name)
    }

    /// Whether it exists, whatever state it is in.
    pub(crate) async fn exists(&self) -> Result<bool> {
        let list = self.provider.cmd().args(["ps", "--all", "--format", "{{.Names}}"]);
        let names = list.run(&self.logs).await?.text();
        Ok(names.lines().any(|name| name == self.name))
    }

    /// A command in the node.
    pub fn exec<S: AsRef<std::ffi::OsStr>>(&self, command: impl IntoIterator<Item = S>) -> Cmd {
        self.outside(&["exec", "--interactive"])
            .args(command)
            .timeout(EXEC_TIMEOUT)
            .name(format!("exec-{}", self.name))
    }

    /// A shell script in the node, with arguments.
    pub fn script<'a>(&'a self, script: &'a str, args: &[&'a str]) -> Cmd {
        self.exec(["sh", "-c", script, "sh"].iter().chain(args))
    }

    /// Makes empty files.
    pub async fn touch(&self, paths: &[&str]) -> Result<()> {
        self.exec(["touch", "--"].iter().chain(paths)).run(&self.logs).await?;
        Ok(())
    }

    /// Removes files.
    pub async fn remove(&self, paths: &[&str]) -> Result<()> {
        self.exec(["rm", "-rf", "--"].iter().chain(paths)).run(&self.logs).await?;
        Ok(())
    }

    /// Whether a file is there.
    pub async fn has(&self, path: &str) -> Result<bool> {
        let test = self.script(r#"if [ -e "$1" ]; then echo yes; else echo no; fi"#, &[path]);
        match test.run(&self.logs).await?.text().as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            other => bail!("{}: cannot tell whether {path} exists: {other}", self.name),
        }
    }

    /// Waits until a file is gone, and returns when that was, in seconds since 1970.
    pub async fn wait_gone(&self, path: &str, deadline: Deadline) -> Result<f64> {
        self.wait(path, "gone", deadline).await
    }

    /// Waits until a file is there.
    pub async fn wait_there(&self, path: &str, deadline: Deadline) -> Result<()> {
        self.wait(path, "there", deadline).await?;
        Ok(())
    }

    async fn wait(&self, path: &str, state: &str, deadline: Deadline) -> Result<f64> {
        let left = deadline.remaining();
        let rounds = (left.as_millis() / 50).to_string();
        let waited = self
            .script(WAIT, &[path, state, &rounds])
            .timeout(left + EXEC_TIMEOUT)
            .run(&self.logs)
            .await;
        let output = match waited {
            Err(error) if error.code() == Some(9) => bail!(
                "expected within {:.0?}: {path} {state} on node {}; it is not",
                deadline.elapsed(),
                self.name
            ),
            other => other?,
        };
        let text = output.text();
        text.parse().with_context(|| format!("{}: no time: {text}", self.name))
    }

    /// When the files of a folder were last written, by name.
    pub async fn file_times(&self, folder: &str) -> Result<BTreeMap<String, SystemTime>> {
        let list = ["find", folder, "-maxdepth", "1", "-type", "f", "-printf", "%f %T@\\n"];
        parse_file_times(&self.exec(list).run(&self.logs).await?.text())
    }

    /// The resident memory of the node's processes of these names.
    pub async fn resident_memory(&self, names: &[&str]) -> Result<ResidentMemory> {
        let output = self.script(RESIDENT, names).run(&self.logs).await?;
        parse_resident(&output.text())
    }
}

fn parse_file_times(text: &str) -> Result<BTreeMap<String, SystemTime>> {
    let parse = |line: &str| {
        let (name, time) = line.rsplit_once(' ')?;
        let time = Duration::try_from_secs_f64(time.parse().ok()?).ok()?;
        Some((name.to_owned(), SystemTime::UNIX_EPOCH + time))
    };
    let lines = text.lines();
    lines.map(|line| parse(line).with_context(|| format!("unexpected line: {line}"))).collect()
}

fn parse_resident(text: &str) -> Result<ResidentMemory> {
    let mut memory = ResidentMemory::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        ensure!(words.len() == 2, "unexpected line: {line}");
        let size: u64 = words[1].parse().with_context(|| line.to_owned())?;
        *memory.entry(words[0].to_owned()).or_default() += size;
    }
    Ok(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_and_times() {
        let times = parse_file_times("a b 1.5\nc 2.0000000000\n").expect("parsed");
        let after = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(times, [("a b".to_owned(), after(1500)), ("c".to_owned(), after(2000))].into());
        assert!(parse_file_times("find: no such folder").is_err());
    }

    #[test]
    fn memory_is_added_up_by_process_name() {
        let memory = parse_resident("operator 100\nterminator 50\noperator 7\n").expect("parsed");
        assert_eq!(memory.get("operator"), Some(&107));
        assert_eq!(memory.get("terminator"), Some(&50));
        assert!(parse_resident("awk: broken pipe").is_err());
    }
}
