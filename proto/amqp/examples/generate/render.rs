//! From the protocol's definition (JSON) to Rust: one struct a method, one
//! enum over them all, and the reply codes.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HEAD: &str = "\
//! The protocol's constants, reply codes and methods.
//!
//! Generated from `spec/amqp-0-9-1.json` by
//! `cargo run --release -p warren-amqp --example generate`; not edited by hand.

use bytes::{BufMut, Bytes, BytesMut};

use crate::method::{Arguments, MethodId};
use crate::short_str::ShortStr;
use crate::table::FieldTable;
use crate::wire::{self, Cursor, WireError};

";

/// The text of `src/generated.rs`.
pub(crate) fn render(spec: &str) -> Result<String> {
    let spec: Value = serde_json::from_str(spec)?;
    let methods = methods(&spec)?;
    let mut out = HEAD.to_owned();
    constants(&spec, &mut out)?;
    reply_codes(&spec, &mut out)?;
    method_enum(&methods, &mut out)?;
    let mut class = "";
    for method in &methods {
        if method.class != class {
            if !class.is_empty() {
                out.push_str("}\n");
            }
            class = &method.class;
            write!(out, "\n/// Class {}, `{class}`.\npub mod {class} {{\n    use super::*;\n", method.class_id)?;
        }
        method_struct(method, &mut out)?;
    }
    out.push_str("}\n");
    Ok(out)
}

struct Method {
    class: String,
    class_id: u64,
    name: String,
    id: u64,
    synchronous: bool,
    content: bool,
    fields: Vec<Field>,
}

struct Field {
    wire_name: String,
    name: String,
    kind: Kind,
    default: Option<Value>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Table,
}

impl Kind {
    fn rust(self) -> &'static str {
        match self {
            Kind::Bit => "bool",
            Kind::Octet => "u8",
            Kind::Short => "u16",
            Kind::Long => "u32",
            Kind::LongLong => "u64",
            Kind::ShortStr => "ShortStr",
            Kind::LongStr => "Bytes",
            Kind::Table => "FieldTable",
        }
    }

    fn reader(self) -> &'static str {
        match self {
            Kind::Bit => "bit",
            Kind::Octet => "u8",
            Kind::Short => "u16",
            Kind::Long => "u32",
            Kind::LongLong => "u64",
            Kind::ShortStr => "short_str",
            Kind::LongStr => "long_str",
            Kind::Table => "table",
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().ok_or_else(|| format!("no {key} in {value}").into())
}

fn number(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().ok_or_else(|| format!("no {key} in {value}").into())
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    Ok(value[key].as_array().ok_or_else(|| format!("no {key} in {value}"))?)
}

/// `get-ok` to `GetOk`.
fn camel(name: &str) -> String {
    name.split('-')
        .map(|word| {
            word.chars()
                .next()
                .map(|c| c.to_ascii_uppercase())
                .into_iter()
                .chain(word.chars().skip(1))
                .collect::<String>()
        })
        .collect()
}

fn methods(spec: &Value) -> Result<Vec<Method>> {
    let mut domains = BTreeMap::new();
    for pair in list(spec, "domains")? {
        domains.insert(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
    }
    let mut methods = Vec::new();
    for class in list(spec, "classes")? {
        for method in list(class, "methods")? {
            let mut fields = Vec::new();
            for argument in list(method, "arguments")? {
                let wire_name = text(argument, "name")?.to_owned();
                let kind = match argument["type"].as_str() {
                    Some(kind) => kind,
                    None => domains.get(text(argument, "domain")?).copied().unwrap_or_default(),
                };
                let kind = match kind {
                    "bit" => Kind::Bit,
                    "octet" => Kind::Octet,
                    "short" => Kind::Short,
                    "long" => Kind::Long,
                    "longlong" | "timestamp" => Kind::LongLong,
                    "shortstr" => Kind::ShortStr,
                    "longstr" => Kind::LongStr,
                    "table" => Kind::Table,
                    other => return Err(format!("unknown type {other} of {wire_name}").into()),
                };
                let name = if wire_name == "type" { "kind".to_owned() } else { wire_name.replace('-', "_") };
                fields.push(Field { wire_name, name, kind, default: argument.get("default-value").cloned() });
            }
            methods.push(Method {
                class: text(class, "name")?.to_owned(),
                class_id: number(class, "id")?,
                name: text(method, "name")?.to_owned(),
                id: number(method, "id")?,
                synchronous: method["synchronous"].as_bool().unwrap_or_default(),
                content: method["content"].as_bool().unwrap_or_default(),
                fields,
            });
        }
    }
    methods.sort_by_key(|method| (method.class_id, method.id));
    Ok(methods)
}

fn constants(spec: &Value, out: &mut String) -> Result<()> {
    for constant in list(spec, "constants")? {
        let name = text(constant, "name")?;
        let value = number(constant, "value")?;
        if let Some(rest) = name.strip_prefix("FRAME-").filter(|_| constant.get("class").is_none()) {
            let kind = if value > 255 { "u32" } else { "u8" };
            writeln!(
                out,
                "/// `{}`.\npub const FRAME_{}: {kind} = {value};",
                name.to_lowercase(),
                rest.replace('-', "_")
            )?;
        }
    }
    Ok(())
}

fn reply_codes(spec: &Value, out: &mut String) -> Result<()> {
    let codes: Vec<(String, String, u64, bool)> = list(spec, "constants")?
        .iter()
        .filter(|c| c.get("class").is_some() || c["name"] == "REPLY-SUCCESS")
        .map(|c| {
            let name = text(c, "name")?;
            Ok((camel(&name.to_lowercase()), name.replace('-', "_"), number(c, "value")?, c["class"] == "hard-error"))
        })
        .collect::<Result<_>>()?;
    out.push_str("\n/// Why a channel or a connection was closed, or a message returned.\n");
    out.push_str(
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[repr(u16)]\npub enum ReplyCode {\n",
    );
    for (variant, name, code, hard) in &codes {
        let scope = if *hard { " (closes the connection)" } else { "" };
        writeln!(out, "    /// {code} `{name}`{scope}.\n    {variant} = {code},")?;
    }
    out.push_str("}\n\nimpl ReplyCode {\n    /// The number on the wire.\n    pub const fn code(self) -> u16 {\n        self as u16\n    }\n");
    out.push_str("\n    /// The name that RabbitMQ's reply texts begin with.\n    pub const fn name(self) -> &'static str {\n        match self {\n");
    for (variant, name, ..) in &codes {
        writeln!(out, "            ReplyCode::{variant} => \"{name}\",")?;
    }
    out.push_str("        }\n    }\n\n    /// Whether it closes the connection, not only the channel.\n    pub const fn is_hard(self) -> bool {\n        matches!(self, ");
    let hard: Vec<String> = codes.iter().filter(|c| c.3).map(|c| format!("ReplyCode::{}", c.0)).collect();
    write!(
        out,
        "{})\n    }}\n\n    /// The code with this number.\n    pub const fn from_code(code: u16) -> Option<Self> {{\n        Some(match code {{\n",
        hard.join(" | ")
    )?;
    for (variant, _, code, _) in &codes {
        writeln!(out, "            {code} => ReplyCode::{variant},")?;
    }
    out.push_str("            _ => return None,\n        })\n    }\n}\n");
    Ok(())
}

fn method_enum(methods: &[Method], out: &mut String) -> Result<()> {
    let variant = |m: &Method| format!("{}{}", camel(&m.class), camel(&m.name));
    let path = |m: &Method| format!("{}::{}", m.class, camel(&m.name));
    out.push_str("\n/// Any method, in either direction.\n#[derive(Clone, Debug, PartialEq, Eq)]\npub enum Method {\n");
    for m in methods {
        writeln!(out, "    /// `{}.{}`.\n    {}({}),", m.class, m.name, variant(m), path(m))?;
    }
    out.push_str("}\n\nimpl Method {\n    /// Reads the arguments of the method with this id, to the end of `from`.\n    #[inline]\n");
    out.push_str("    pub(crate) fn decode_arguments(id: MethodId, from: &mut Cursor<'_>) -> Result<Option<Self>, WireError> {\n");
    out.push_str("        Ok(Some(match (id.class, id.method) {\n");
    for m in methods {
        writeln!(out, "            ({}, {}) => Method::{}(Arguments::decode(from)?),", m.class_id, m.id, variant(m))?;
    }
    out.push_str("            _ => return Ok(None),\n        }))\n    }\n");
    for (doc, signature, body) in [
        ("Writes the arguments.", "encode_arguments(&self, to: &mut BytesMut)", "m.encode(to)"),
        ("Class and method number.", "id(&self) -> MethodId", "m.id()"),
        ("As in `basic.publish`.", "name(&self) -> &'static str", "m.name()"),
        ("Whether a header and body follow.", "has_content(&self) -> bool", "m.has_content()"),
        ("Whether the sender waits for an answer.", "is_synchronous(&self) -> bool", "m.is_synchronous()"),
    ] {
        write!(out, "\n    /// {doc}\n    pub fn {signature} {{\n        match self {{\n")?;
        for m in methods {
            writeln!(out, "            Method::{}(m) => {body},", variant(m))?;
        }
        out.push_str("        }\n    }\n");
    }
    out.push_str("}\n");
    for m in methods {
        write!(
            out,
            "\nimpl From<{}> for Method {{\n    fn from(method: {}) -> Self {{\n        Method::{}(method)\n    }}\n}}\n",
            path(m),
            path(m),
            variant(m)
        )?;
    }
    Ok(())
}

fn method_struct(m: &Method, out: &mut String) -> Result<()> {
    let name = camel(&m.name);
    let zero = m.fields.iter().all(|f| default(f).is_none());
    let derive = if zero { ", Default" } else { "" };
    write!(out, "\n    /// `{}.{}`.\n    #[derive(Clone, Debug, PartialEq, Eq{derive})]\n", m.class, m.name)?;
    if m.fields.is_empty() {
        writeln!(out, "    pub struct {name};")?;
    } else {
        writeln!(out, "    pub struct {name} {{")?;
        for f in &m.fields {
            writeln!(out, "        /// `{}`.\n        pub {}: {},", f.wire_name, f.name, f.kind.rust())?;
        }
        out.push_str("    }\n");
    }
    if !zero {
        write!(out, "\n    impl Default for {name} {{\n        fn default() -> Self {{\n            {name} {{\n")?;
        for f in &m.fields {
            let value = default(f).unwrap_or_else(|| "Default::default()".to_owned());
            writeln!(out, "                {}: {value},", f.name)?;
        }
        out.push_str("            }\n        }\n    }\n");
    }
    write!(
        out,
        "\n    impl Arguments for {name} {{\n        const ID: MethodId = MethodId {{ class: {}, method: {} }};\n        const NAME: &'static str = \"{}.{}\";\n",
        m.class_id, m.id, m.class, m.name
    )?;
    write!(
        out,
        "        const CONTENT: bool = {};\n        const SYNCHRONOUS: bool = {};\n\n",
        m.content, m.synchronous
    )?;
    if m.fields.is_empty() {
        out.push_str("        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {\n");
        write!(out, "            Ok({name})\n        }}\n\n        fn encode(&self, _: &mut BytesMut) {{}}\n    }}\n")?;
        return Ok(());
    }
    out.push_str("        #[inline]\n        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {\n");
    let runs = runs(&m.fields);
    for run in &runs {
        if run[0].kind == Kind::Bit {
            let bits = format!("{}_bits", run[0].name);
            writeln!(out, "            let {bits} = from.u8()?;")?;
            for (i, f) in run.iter().enumerate() {
                writeln!(out, "            let {} = {bits} & {:#04x} != 0;", f.name, 1 << i)?;
            }
        } else {
            // RabbitMQ does not look at the text of what comes with content.
            let reader = match run[0].kind {
                Kind::ShortStr if m.content => "short_octets",
                kind => kind.reader(),
            };
            writeln!(out, "            let {} = from.{reader}()?;", run[0].name)?;
        }
    }
    let names: Vec<&str> = m.fields.iter().map(|f| f.name.as_str()).collect();
    writeln!(out, "            Ok({name} {{ {} }})\n        }}\n", names.join(", "))?;
    out.push_str("        #[inline]\n        fn encode(&self, to: &mut BytesMut) {\n");
    for run in &runs {
        let f = &run[0].name;
        match run[0].kind {
            Kind::Bit => {
                let bits: Vec<String> = run
                    .iter()
                    .enumerate()
                    .map(|(i, f)| {
                        if i == 0 {
                            format!("u8::from(self.{})", f.name)
                        } else {
                            format!("u8::from(self.{}) << {i}", f.name)
                        }
                    })
                    .collect();
                writeln!(out, "            to.put_u8({});", bits.join(" | "))?;
            }
            Kind::Octet => writeln!(out, "            to.put_u8(self.{f});")?,
            Kind::Short => writeln!(out, "            to.put_u16(self.{f});")?,
            Kind::Long => writeln!(out, "            to.put_u32(self.{f});")?,
            Kind::LongLong => writeln!(out, "            to.put_u64(self.{f});")?,
            Kind::ShortStr => writeln!(out, "            wire::put_short_str(to, &self.{f});")?,
            Kind::LongStr => writeln!(out, "            wire::put_long_str(to, &self.{f});")?,
            Kind::Table => writeln!(out, "            wire::put_long_str(to, self.{f}.as_bytes());")?,
        }
    }
    out.push_str("        }\n    }\n");
    Ok(())
}

/// Fields by octet on the wire: up to eight neighbouring bits share one.
fn runs(fields: &[Field]) -> Vec<Vec<&Field>> {
    let mut runs: Vec<Vec<&Field>> = Vec::new();
    for field in fields {
        match runs.last_mut() {
            Some(run) if field.kind == Kind::Bit && run[0].kind == Kind::Bit && run.len() < 8 => run.push(field),
            _ => runs.push(vec![field]),
        }
    }
    runs
}

/// The definition's default as an expression, unless it is Rust's own.
fn default(field: &Field) -> Option<String> {
    match (field.kind, field.default.as_ref()?) {
        (Kind::Bit, Value::Bool(true)) => Some("true".to_owned()),
        (Kind::ShortStr, Value::String(text)) if !text.is_empty() => Some(format!("ShortStr::from_static(\"{text}\")")),
        (Kind::LongStr, Value::String(text)) if !text.is_empty() => Some(format!("Bytes::from_static(b\"{text}\")")),
        (_, Value::Number(n)) if n.as_u64() != Some(0) => Some(n.to_string()),
        _ => None,
    }
}
