//! `GET /openapi.json`: the API's description (OpenAPI 3.1), made of the command table and the types that are sent.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use super::{API, FindQuery, Folder, FolderQuery, Found, OpenQuery, Qr, QrQuery, Status, Stopping, Told};
use crate::command::{Arg, Kind, Opt, SPECS, Spec};
use crate::reply::{Shown, model};

/// The whole document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for spec in SPECS.iter().filter(|spec| spec.is_remote()) {
        paths.insert(format!("{API}/commands/{}", spec.name), command(spec, &mut schemas));
    }
    let status = schemas.subschema_for::<Status>();
    paths.insert(
        format!("{API}/status"),
        json!({ "get": {
            "operationId": "status", "summary": "who is logged in, and where the node listens",
            "responses": { "200": content("the node", &json!(status)), "401": no_token() },
        }}),
    );
    paths.insert(
        format!("{API}/events"),
        json!({ "get": {
            "operationId": "events",
            "summary": "what changes, as server-sent events: session, downloads, moved, hashing, changed, notice",
            "responses": {
                "200": { "description": "a stream without end", "content": { "text/event-stream": {} } },
                "401": no_token(),
            },
        }}),
    );
    let stopping = schemas.subschema_for::<Stopping>();
    paths.insert(
        format!("{API}/stop"),
        json!({ "post": {
            "operationId": "stop", "summary": "end the node",
            "responses": { "202": content("it ends now", &json!(stopping)), "401": no_token() },
        }}),
    );
    machine(&mut paths, &mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Peerage, local API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Everything that the shell's commands do, through a running node (`peerage up`).",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas.take_definitions(true),
        },
    })
}

/// What is asked of this machine, not of the node.
fn machine(paths: &mut Map<String, Value>, schemas: &mut SchemaGenerator) {
    let told = schemas.subschema_for::<Told>();
    paths.insert(
        format!("{API}/notices"),
        json!({ "get": {
            "operationId": "notices", "summary": "what happened by itself lately, oldest first",
            "responses": {
                "200": content("the notices", &json!({ "type": "array", "items": told })),
                "401": no_token(),
            },
        }}),
    );
    let rows = [
        (
            "folder",
            "what is in a folder of this machine, within the home folder of who runs the node",
            schemas.subschema_for::<FolderQuery>(),
            schemas.subschema_for::<Folder>(),
        ),
        (
            "find",
            "where a file lies that was dropped on the page; within the home folder",
            schemas.subschema_for::<FindQuery>(),
            schemas.subschema_for::<Found>(),
        ),
        (
            "open",
            "show the folder of a download on the desktop",
            schemas.subschema_for::<OpenQuery>(),
            json_schema!({ "type": "object", "properties": { "ok": { "const": true } } }),
        ),
        (
            "qr",
            "a text as a picture for a camera",
            schemas.subschema_for::<QrQuery>(),
            schemas.subschema_for::<Qr>(),
        ),
    ];
    for (name, summary, request, reply) in rows {
        paths.insert(
            format!("{API}/{name}"),
            json!({ "post": {
                "operationId": name, "summary": summary,
                "requestBody": { "content": { "application/json": { "schema": request } } },
                "responses": {
                    "200": content("it worked", &json!(reply)),
                    "400": { "description": "a field is missing or has another form" },
                    "401": no_token(),
                    "409": { "description": "refused; `error` says why" },
                },
            }}),
        );
    }
}

/// The reply of one command as `--json` prints it: a JSON Schema that needs nothing else.
pub fn reply_schema(spec: &Spec) -> Value {
    let mut schemas = SchemaSettings::draft2020_12().into_generator();
    let mut schema = reply(spec, &mut schemas);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$defs".into(), schemas.take_definitions(true).into());
    }
    schema
}

fn command(spec: &Spec, schemas: &mut SchemaGenerator) -> Value {
    let required: Vec<&str> = spec.args.iter().filter(|a| !a.optional).map(|a| a.name).collect();
    let mut properties: Map<String, Value> =
        spec.args.iter().map(|arg| (arg.name.to_owned(), argument(arg))).collect();
    properties.extend(spec.options.iter().map(|o| (o.name.to_owned(), option(o))));
    let reply = reply(spec, schemas);
    let refused = |why: &str| content(why, &reply);
    json!({ "post": {
        "operationId": spec.name,
        "summary": spec.summary,
        "requestBody": {
            "required": !required.is_empty(),
            "content": { "application/json": { "schema": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            }}},
        },
        "responses": {
            "200": content("it worked", &reply),
            "400": refused("an argument is missing or has another form"),
            "401": no_token(),
            "403": refused("not logged in, or not allowed"),
            "409": refused("refused"),
            "503": refused("no tracker is reachable"),
        },
    }})
}

fn argument(arg: &Arg) -> Value {
    let description = match arg.kind {
        Kind::User => "a user: their name, or `name#tag`",
        Kind::Password => "a secret; never logged",
        Kind::Group => "a group: its name, or `name#tag`",
        Kind::File => "a file of the group, as `list_files` names it",
        Kind::Path => "a path on the node's machine",
        Kind::Device => "a device: its tag or id, or the beginning of one",
        Kind::Invite => "a line that begins with `peerage:`",
        Kind::Priority => "high, normal, low or skip",
        Kind::Word => "a new name",
    };
    let mut schema = json!({ "type": "string", "description": description });
    if arg.kind == Kind::Password {
        schema["writeOnly"] = true.into();
    }
    schema
}

fn option(option: &Opt) -> Value {
    match option.value {
        None => json!({ "type": "boolean" }),
        Some(value) => {
            let one = json!({ "type": ["string", "number"] });
            json!({ "description": value, "anyOf": [one, { "type": "array", "items": one }] })
        }
    }
}

fn reply(spec: &Spec, schemas: &mut SchemaGenerator) -> Value {
    let mut properties = json!({
        "command": { "const": spec.name },
        "ok": { "type": "boolean", "description": "whether it worked" },
        "message": { "type": "string", "description": "if it worked: the reply, or the size of the listing" },
        "error": { "type": "string", "description": "if it did not: why" },
        "hint": { "type": "string", "description": "what to try next, or what else to know" },
        "stale": { "const": true, "description": "the tracker lags: the reply may be older" },
        "next": { "type": "string", "description": "what people usually do next" },
        "total": { "type": "integer", "description": "of a listing of which a part was asked for: how long it is" },
        "lines": {
            "type": "array",
            "items": schemas.subschema_for::<Shown>(),
            "description": "with the header `peerage-lines`: the listing as a terminal shows it",
        },
    });
    if let Some(item) = item(spec.name, schemas) {
        properties["items"] = json!({ "type": "array", "items": item });
    }
    json!({ "type": "object", "properties": properties, "required": ["command", "ok"], "additionalProperties": false })
}

/// What a listing is made of.
fn item(command: &str, schemas: &mut SchemaGenerator) -> Option<Schema> {
    fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemas.subschema_for::<T>())
    }
    match command {
        "whoami" => of::<model::Me>(schemas),
        "check_port" => of::<model::PortCheck>(schemas),
        "list_devices" => of::<model::Device>(schemas),
        "recovery_code" => of::<model::RecoveryCode>(schemas),
        "list_groups" => of::<model::Group>(schemas),
        "invite" => of::<model::Invite>(schemas),
        "invites" => of::<model::ApprovedInvite>(schemas),
        "list_members" => of::<model::Member>(schemas),
        "list_requests" => of::<model::Request>(schemas),
        "audit" => of::<model::AuditEntry>(schemas),
        "list_files" => of::<model::File>(schemas),
        "download_file" => of::<model::Started>(schemas),
        "scrub" => of::<model::Scrub>(schemas),
        "set_limits" | "show_limits" => of::<model::Limit>(schemas),
        "show_downloads" => of::<model::Download>(schemas),
        "show_download" => of::<model::DownloadDetail>(schemas),
        "list_folder" => of::<model::FolderFile>(schemas),
        "list_peers" => of::<model::Peer>(schemas),
        "help" => of::<model::CommandHelp>(schemas),
        _ => None,
    }
}

fn content(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn no_token() -> Value {
    json!({ "description": "the token is missing or another one" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_reference_is_described() {
        let document = document();
        for spec in SPECS.iter().filter(|spec| spec.is_remote()) {
            let post = &document["paths"][format!("{API}/commands/{}", spec.name)]["post"];
            assert_eq!(post["operationId"], spec.name);
        }
        let text = document.to_string();
        let mut references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        assert!(references.clone().count() > 10);
        assert!(references.all(|pointer| document.pointer(pointer).is_some()), "{text}");
    }
}
