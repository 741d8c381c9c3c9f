//! The example of an admission policy, whose expressions a CEL interpreter evaluates here: the API server of
//! the tests may be older than such policies.

use anyhow::{Context as _, Result, anyhow};
use cel::{Context, Program, Value as Cel};
use e2e::paths;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use serde_json::{Value, json};

/// The messages with which a Job with this `spec` is refused.
fn refusals(spec: &Value) -> Result<Vec<String>> {
    let path = paths::workspace().join("deploy/admission/host-paths.yaml");
    let text = std::fs::read_to_string(path)?;
    let policy = text.split("---").next().context("a policy")?;
    let policy: ValidatingAdmissionPolicy = serde_saphyr::from_str(policy)?;
    let policy = policy.spec.context("a spec")?;
    let mut context = Context::default();
    let object = cel::to_value(json!({"spec": spec})).map_err(|error| anyhow!("{error}"))?;
    context.add_variable_from_value("object", object);
    let mut variables = serde_json::Map::new();
    for variable in policy.variables.into_iter().flatten() {
        let known = cel::to_value(&variables).map_err(|error| anyhow!("{error}"))?;
        context.add_variable_from_value("variables", known);
        let value = evaluate(&variable.expression, &context)?;
        variables.insert(variable.name, value.json().map_err(|error| anyhow!("{error}"))?);
    }
    let known = cel::to_value(&variables).map_err(|error| anyhow!("{error}"))?;
    context.add_variable_from_value("variables", known);
    let mut refusals = Vec::new();
    for validation in policy.validations.into_iter().flatten() {
        match evaluate(&validation.expression, &context)? {
            Cel::Bool(true) => {}
            Cel::Bool(false) => refusals.push(validation.message.context("a message")?),
            other => return Err(anyhow!("{} is {other:?}", validation.expression)),
        }
    }
    Ok(refusals)
}

fn evaluate(expression: &str, context: &Context<'_, '_>) -> Result<Cel> {
    let program = Program::compile(expression).map_err(|error| anyhow!("{expression}: {error}"))?;
    program.execute(context).map_err(|error| anyhow!("{expression}: {error}"))
}

#[test]
fn example_policy_takes_what_it_says_and_refuses_the_rest() -> Result<()> {
    let template = |spec: Value| json!({"image": "x", "template": {"spec": spec}});
    let taken = [
        json!({"image": "x"}),
        json!({"image": "x", "mountPath": null, "template": null}),
        json!({"image": "x", "mountPath": "/tmp"}),
        json!({"image": "x", "mountPath": "/opt/jobs"}),
        json!({"image": "x", "template": {"metadata": {"labels": {"a": "b"}}}}),
        template(json!({"nodeSelector": {"a": "b"}})),
        template(json!({"containers": [{"name": "job-container", "resources": {}}]})),
    ];
    for spec in taken {
        assert_eq!(refusals(&spec)?, [""; 0], "{spec}");
    }
    let refused = [
        (json!({"image": "x", "mountPath": "/"}), "mountPath"),
        (json!({"image": "x", "mountPath": "/tmp/link"}), "mountPath"),
        (
            json!({"image": "x", "template": {"metadata": {"annotations": {"a": "b"}}}}),
            "annotations",
        ),
        (template(json!({"containers": [{"name": "a", "livenessProbe": {}}]})), "a container"),
        (template(json!({"hostPID": true})), "namespaces of the node"),
        (template(json!({"volumes": []})), "volumes"),
        (template(json!({"serviceAccountName": "admin"})), "service account"),
        (template(json!({"containers": [{"name": "a", "securityContext": {}}]})), "a container"),
        (template(json!({"initContainers": [{"name": "a", "envFrom": []}]})), "a container"),
    ];
    for (spec, message) in refused {
        let refusals = refusals(&spec)?;
        assert!(refusals.len() == 1 && refusals[0].contains(message), "{spec}: {refusals:?}");
    }
    Ok(())
}
