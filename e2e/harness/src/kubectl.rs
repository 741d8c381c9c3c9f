//! What kubectl warns of.

use anyhow::{Result, ensure};
use tokio::sync::mpsc;

use crate::process::{Cmd, LogDir, Output};

/// Runs a command of kubectl, and fails when it warns.
pub async fn without_warning(kubectl: Cmd, logs: &LogDir) -> Result<Output> {
    let (sender, mut lines) = mpsc::unbounded_channel();
    let output = kubectl.stderr_lines(sender).run(logs).await?;
    let mut warnings = Vec::new();
    while let Ok(line) = lines.try_recv() {
        if is_warning(&line) {
            warnings.push(line);
        }
    }
    ensure!(
        warnings.is_empty(),
        "kubectl warns, see {}:\n{}",
        output.log.display(),
        warnings.join("\n")
    );
    Ok(output)
}

/// Whether kubectl, the API server or kustomize warns in this line.
pub fn is_warning(line: &str) -> bool {
    line.trim_start_matches(['#', ' ']).starts_with("Warning:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_told_from_what_else_is_said() {
        for line in [
            "Warning: policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+",
            "# Warning: 'commonLabels' is deprecated. Please use 'labels' instead.",
        ] {
            assert!(is_warning(line), "{line}");
        }
        assert!(!is_warning("configmap/Warning: unchanged"));
    }

    #[tokio::test]
    async fn command_that_warns_fails_though_it_ended_well() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let logs = LogDir::create(folder.path().join("logs")).expect("a log folder");
        let says = |word: &str| Cmd::new("sh").args(["-c", &format!("echo '{word}: old' >&2")]);
        assert!(without_warning(says("note"), &logs).await.is_ok());
        let error = without_warning(says("Warning"), &logs).await.expect_err("a warning");
        assert!(error.to_string().ends_with("Warning: old"), "{error}");
    }
}
