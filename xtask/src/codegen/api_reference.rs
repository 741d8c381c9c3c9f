//! Renders docs/api.md from the CRD's schema, as `kubectl explain` shows the fields.

use anyhow::{Context as _, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Renders the page.
pub(super) fn render(crd: &CustomResourceDefinition) -> Result<String> {
    let version = crd.spec.versions.first().context("the CRD has no version")?;
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = schema.context("the CRD has no schema")?;
    let mut page = format!(
        "<!-- Generated from the api crate by `cargo xtask codegen`. -->\n\n# API reference\n\n\
         `{}/{}`, kind `{}`, namespaced, short name `{}`. {}\n\n\
         `kubectl explain dsjob.spec` shows the same text. A change of the work (image, command, args, mountPath, \
         completionMode, terminationWord, template) starts it again on every node; a change of a limit restarts \
         nothing.\n",
        crd.spec.group,
        version.name,
        crd.spec.names.kind,
        crd.spec.names.short_names.iter().flatten().next().map_or("", String::as_str),
        description(schema),
    );
    let properties = schema.properties.iter().flatten();
    for (name, property) in properties.filter(|(name, _)| *name == "spec" || *name == "status") {
        section(&mut page, name, property);
    }
    page += "\n## Columns of `kubectl get dsjob`\n\n| column | field |\n| --- | --- |\n";
    for column in version.additional_printer_columns.iter().flatten() {
        page += &format!("| {} | `{}` |\n", column.name, column.json_path);
    }
    Ok(page)
}

/// Appends a table of an object's fields, and then those of its nested objects.
fn section(page: &mut String, path: &str, object: &JSONSchemaProps) {
    *page += &format!("\n## `{path}`\n\n| field | type | meaning |\n| --- | --- | --- |\n");
    let required = object.required.as_deref().unwrap_or_default();
    for (name, field) in object.properties.iter().flatten() {
        let mut kind = kind(field);
        if required.contains(name) {
            kind += ", required";
        }
        *page += &format!("| `{name}` | {} | {} |\n", cell(&kind), cell(&description(field)));
    }
    for (name, field) in object.properties.iter().flatten() {
        let inner = items(field).unwrap_or(field);
        if inner.properties.is_some() {
            let brackets = if items(field).is_some() { "[]" } else { "" };
            section(page, &format!("{path}.{name}{brackets}"), inner);
        }
    }
}

/// The type of a field, with the limits of its values.
fn kind(field: &JSONSchemaProps) -> String {
    let untyped = match field.x_kubernetes_int_or_string {
        Some(true) => "integer or string",
        _ => "any",
    };
    let name = field.format.as_deref().or(field.type_.as_deref()).unwrap_or(untyped);
    let mut kind = match items(field) {
        Some(item) => format!("list of {}", self::kind(item)),
        None => name.to_owned(),
    };
    if let Some(values) = &field.enum_ {
        let values: Vec<_> =
            values.iter().filter_map(|value| Some(format!("`{}`", value.0.as_str()?))).collect();
        kind = values.join(" or ");
    }
    if let Some(minimum) = field.minimum {
        kind += &format!(", at least {minimum}");
    }
    if let Some(length) = field.max_length {
        kind += &format!(", at most {length} characters");
    }
    if let Some(number) = field.max_items {
        kind += &format!(", at most {number} items");
    }
    kind
}

fn items(field: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match field.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(item) => Some(item),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// The description in one line.
fn description(field: &JSONSchemaProps) -> String {
    let text = field.description.as_deref().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;

    fn schema(of: &str) -> JSONSchemaProps {
        let crd = api::job::Job::crd();
        let schema =
            crd.spec.versions[0].schema.clone().and_then(|schema| schema.open_api_v3_schema);
        schema.and_then(|schema| schema.properties).expect("properties")[of].clone()
    }

    fn walk(path: &str, object: &JSONSchemaProps, visit: &mut impl FnMut(&str, &JSONSchemaProps)) {
        for (name, field) in object.properties.iter().flatten() {
            let path = format!("{path}.{name}");
            visit(&path, field);
            walk(&path, items(field).unwrap_or(field), visit);
        }
    }

    #[test]
    fn every_optional_field_of_the_spec_names_its_default() {
        let spec = schema("spec");
        let required = spec.required.clone().unwrap_or_default();
        assert_eq!(required, ["image"]);
        for (name, field) in spec.properties.iter().flatten() {
            let described = description(field);
            assert!(
                required.contains(name) || described.contains("Default: "),
                "{name}: {described}"
            );
        }
    }

    #[test]
    fn every_field_is_described_and_every_time_and_number_names_its_unit() {
        for of in ["spec", "status"] {
            walk(of, &schema(of), &mut |path, field| {
                let described = description(field);
                assert!(described.len() > 10, "{path}: {described}");
                let counts = ["Number of", "How often", "Exit code", "generation"];
                let is_told = match field.type_.as_deref() {
                    Some("integer" | "number") if path.contains("Seconds") => {
                        described.starts_with("Seconds")
                    }
                    Some("integer" | "number") => {
                        counts.iter().any(|unit| described.contains(unit))
                    }
                    _ => true,
                };
                assert!(is_told, "{path}: {described}");
            });
        }
    }

    #[test]
    fn page_has_nested_fields_and_escapes_what_ends_a_cell() {
        let page = render(&api::job::Job::crd()).expect("a page");
        assert!(page.contains("## `status.nodes[]`"), "{page}");
        assert!(page.contains("| `backoffLimitPerNode` | int32, at least 0 |"), "{page}");
        assert!(page.contains("| `image` | string, at most 1024 characters, required |"), "{page}");
        assert!(page.contains("| `parallelism` | integer or string |"), "{page}");
        assert!(page.contains("| `windows` | list of object, at most 16 items |"), "{page}");
        assert_eq!(cell("a|b"), "a\\|b");
    }
}
