//! One parameter of a callback, and the value that it gets.
//!
//! A macro sees names, and no types. It recognizes the session, the reason, the error and the gap by the names of their types.
//! Any other parameter is the message, and the compiler checks its type.

use syn::{
    Attribute, Error, Ident, LitStr, Meta, Pat, PatType, Type, TypeReference, ext::IdentExt,
};

use crate::{argument::Arguments, marker::Event};

/// The value that a parameter gets.
pub(crate) enum Parameter {
    /// A variable of the path. Without a type the parameter gets the value as text.
    Path {
        variable: LitStr,
        parsed: Option<Box<Type>>,
    },
    Session,
    /// The subject of the event: the message, the reason, the error or the gap.
    Subject {
        ty: Box<Type>,
    },
}

impl Parameter {
    /// Parses a parameter, and removes its `#[path]`.
    pub(crate) fn parse(
        event: Event,
        input: &mut PatType,
        earlier: &[Self],
        arguments: &Arguments,
    ) -> syn::Result<Self> {
        match input.attrs.iter().position(is_path_mark) {
            Some(index) => {
                let mark = input.attrs.remove(index);
                marked(&mark, input, arguments)
            }
            None => unmarked(event, input, earlier, arguments),
        }
    }

    pub(crate) fn is_subject(&self) -> bool {
        matches!(self, Self::Subject { .. })
    }
}

/// Returns whether an attribute of a parameter is `#[path]`.
pub(crate) fn is_path_mark(attribute: &Attribute) -> bool {
    attribute.path().is_ident("path")
}

/// Returns the type inside of parentheses, and of the invisible groups of `macro_rules!`.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        _ => ty,
    }
}

/// Returns the last name of a path: `Session` of `sockeye::Session`. A macro sees no more of a type.
pub(crate) fn last_name(ty: &Type) -> Option<&Ident> {
    match peel(ty) {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// Parses a parameter with the mark `#[path]`.
fn marked(mark: &Attribute, input: &PatType, arguments: &Arguments) -> syn::Result<Parameter> {
    let Some(server) = arguments.server() else {
        return Err(Error::new_spanned(mark, NO_PATH));
    };
    let variable = match &mark.meta {
        Meta::Path(_) => {
            let name = parameter_name(input).ok_or_else(|| {
                Error::new_spanned(
                    &input.pat,
                    "a pattern does not name a variable of the path; write `#[path(\"name\")]`",
                )
            })?;
            LitStr::new(&name.unraw().to_string(), name.span())
        }
        Meta::List(list) => list.parse_args::<LitStr>().map_err(|error| {
            Error::new(
                error.span(),
                "the variable's name is a string; write `#[path(\"name\")]`",
            )
        })?,
        Meta::NameValue(_) => {
            return Err(Error::new_spanned(
                mark,
                "the variable's name must be in parentheses; write `#[path(\"name\")]`",
            ));
        }
    };
    let name = variable.value();
    if !server.has_variable(&name) {
        let known: Vec<String> = server
            .variables()
            .map(|variable| format!("`{variable}`"))
            .collect();
        let (known, remedy) = match known.as_slice() {
            [] => ("which has none".to_owned(), "remove the parameter"),
            [one] => (
                format!("which has {one}"),
                "name that with `#[path(\"…\")]`",
            ),
            many => (
                format!("which has {}", many.join(", ")),
                "name one of those with `#[path(\"…\")]`",
            ),
        };
        return Err(Error::new(
            variable.span(),
            format!(
                "`{name}` is not a variable of the path `{}`, {known}; \
                 {remedy}, or add `{{{name}}}` to the path",
                server.template()
            ),
        ));
    }
    let parsed = match peel(&input.ty) {
        Type::Reference(TypeReference {
            mutability: None,
            elem,
            ..
        }) if last_name(elem).is_some_and(|name| name == "str") => None,
        Type::Reference(_) => {
            return Err(Error::new_spanned(
                &input.ty,
                "a parameter of the path is `&str` or an owned type that implements `FromStr`; \
                 remove the `&`",
            ));
        }
        _ => Some(input.ty.clone()),
    };
    Ok(Parameter::Path { variable, parsed })
}

/// Parses a parameter without a mark: the session, or the subject of the event.
fn unmarked(
    event: Event,
    input: &PatType,
    earlier: &[Parameter],
    arguments: &Arguments,
) -> syn::Result<Parameter> {
    let mark = event.name();
    let ty = peel(&input.ty);
    let (reference, target) = match ty {
        Type::Reference(reference) => (Some(reference), peel(&reference.elem)),
        _ => (None, ty),
    };
    let is = |expected: &str| last_name(target).is_some_and(|name| name == expected);
    let mutable = reference.is_some_and(|reference| reference.mutability.is_some());

    if is("Session") {
        return if reference.is_some() && !mutable {
            Ok(Parameter::Session)
        } else {
            Err(Error::new_spanned(
                ty,
                "a callback borrows the session; take `&Session`, and clone it to keep it",
            ))
        };
    }
    let fits = match event {
        Event::Open => false,
        Event::Message => true,
        Event::Close => is("CloseReason"),
        Event::Error => is("Error"),
        Event::Gap => is("Gap"),
    };
    let subject_taken = earlier.iter().any(Parameter::is_subject);
    if fits && !subject_taken {
        if let Type::ImplTrait(_) = ty {
            return Err(Error::new_spanned(
                ty,
                "the parameter's type decides which kind of message the method takes; \
                 write the type, such as `&str` or `Bytes`",
            ));
        }
        if mutable || (matches!(event, Event::Error | Event::Gap) && reference.is_none()) {
            let name = last_name(target).map_or_else(|| "str".to_owned(), ToString::to_string);
            return Err(Error::new_spanned(
                ty,
                format!("an `#[{mark}]` method borrows this; take `&{name}`"),
            ));
        }
        return Ok(Parameter::Subject {
            ty: input.ty.clone(),
        });
    }

    let name = parameter_name(input).map(|name| name.unraw().to_string());
    let server = arguments.server();
    let is_variable = |name: &str| server.is_some_and(|server| server.has_variable(name));
    if let Some(name) = name.filter(|name| is_variable(name)) {
        return Err(Error::new_spanned(
            input,
            format!(
                "a parameter for a variable of the path needs a mark; write `#[path] {name}: …`"
            ),
        ));
    }
    let takes = match event {
        Event::Open => "`&Session`",
        Event::Message => "one message, `&Session`",
        Event::Close => "one `CloseReason`, `&Session`",
        Event::Error => "one `&Error`, `&Session`",
        Event::Gap => "one `&Gap`, `&Session`",
    };
    let more = match server {
        Some(_) => "and parameters of the path, which are marked `#[path]`",
        None => "and nothing else in a client's endpoint",
    };
    Err(Error::new_spanned(
        input,
        format!("an `#[{mark}]` method takes {takes} {more}; remove this one"),
    ))
}

fn parameter_name(input: &PatType) -> Option<&Ident> {
    match &*input.pat {
        Pat::Ident(pattern) if pattern.subpat.is_none() => Some(&pattern.ident),
        _ => None,
    }
}

/// The error for `#[path]` in a client's endpoint.
pub(crate) const NO_PATH: &str = "a client's endpoint has no path; take `&Session`, whose `request()` is the client's \
                                  request, or store the value in the endpoint";
