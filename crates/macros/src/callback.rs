//! One marked method: its receiver, and what each of its parameters is to be given.

use proc_macro2::Span;
use syn::{
    Attribute, Error, FnArg, GenericParam, Ident, ImplItemFn, Lifetime, LitStr, Meta, Pat, PatType,
    Receiver, ReturnType, Type, TypeReference, ext::IdentExt, spanned::Spanned,
};

use crate::{argument::Arguments, marker::Event};

/// A method that is called for an event.
pub(crate) struct Callback {
    pub(crate) event: Event,
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    pub(crate) receiver: Access,
    pub(crate) parameters: Vec<Parameter>,
    /// Where an unfit return type is to be blamed.
    pub(crate) output: Span,
    /// The method's own lifetimes, which mean nothing outside of it.
    pub(crate) lifetimes: Vec<Lifetime>,
    /// The method's `#[cfg]`s: what calls it must stand under the same.
    pub(crate) conditions: Vec<Attribute>,
}

/// How a method takes `self`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Exclusive,
    Shared,
}

/// What a parameter is given.
pub(crate) enum Parameter {
    /// A variable of the path. No type: the value as text.
    Path {
        variable: LitStr,
        parsed: Option<Box<Type>>,
    },
    Session,
    /// What the callback is about: the message, the reason or the error.
    Subject {
        ty: Box<Type>,
    },
}

impl Callback {
    /// Reads a marked method, and takes `#[path]` off its parameters.
    pub(crate) fn parse(
        event: Event,
        method: &mut ImplItemFn,
        arguments: &Arguments,
    ) -> syn::Result<Self> {
        let mark = event.name();
        let signature = &mut method.sig;
        let mut mistakes = Mistakes::default();

        if let Some(keyword) = &signature.unsafety {
            mistakes.add(Error::new_spanned(
                keyword,
                format!("an `#[{mark}]` method is called by safe code; remove `unsafe`"),
            ));
        }
        let mut lifetimes = Vec::new();
        for parameter in &signature.generics.params {
            match parameter {
                GenericParam::Lifetime(parameter) => lifetimes.push(parameter.lifetime.clone()),
                GenericParam::Const(_) | GenericParam::Type(_) => mistakes.add(Error::new_spanned(
                    parameter,
                    format!(
                        "nothing decides this parameter when an `#[{mark}]` method is called; \
                         move it to the `impl` block, or write a concrete type"
                    ),
                )),
            }
        }

        let mut inputs = signature.inputs.iter_mut();
        let receiver = match inputs.next() {
            Some(FnArg::Receiver(receiver)) => access(receiver, mark),
            _ => Err(Error::new_spanned(
                &signature.ident,
                format!(
                    "an `#[{mark}]` method is called on the endpoint's object; \
                     make its first parameter `&mut self` or `&self`"
                ),
            )),
        };
        let receiver = mistakes.keep(receiver);
        let mut parameters: Vec<Parameter> = Vec::new();
        for input in inputs {
            let FnArg::Typed(input) = input else { continue };
            let marked = mistakes.keep(take_path(input, arguments));
            let parameter = match marked {
                Some(Some(parameter)) => Ok(parameter),
                Some(None) => unmarked(event, input, &parameters, arguments),
                None => continue,
            };
            parameters.extend(mistakes.keep(parameter));
        }
        let has_subject = parameters
            .iter()
            .any(|parameter| matches!(parameter, Parameter::Subject { .. }));
        if event == Event::Message && !has_subject && mistakes.is_empty() {
            mistakes.add(Error::new_spanned(
                &signature.ident,
                "an `#[on_message]` method takes the message; add a parameter for it, such as \
                 `text: &str` or `data: &[u8]`",
            ));
        }

        let output = match &signature.output {
            ReturnType::Default => signature.ident.span(),
            ReturnType::Type(_, ty) => {
                if event == Event::Error && !is_unit(ty) {
                    mistakes.add(Error::new_spanned(
                        ty,
                        "nobody is left to take what an `#[on_error]` method returns; return nothing",
                    ));
                }
                ty.span()
            }
        };
        let conditions = method.attrs.iter();
        let callback = receiver.map(|receiver| Self {
            event,
            name: signature.ident.clone(),
            is_async: signature.asyncness.is_some(),
            receiver,
            parameters,
            output,
            lifetimes,
            conditions: conditions
                .filter(|attribute| attribute.path().is_ident("cfg"))
                .cloned()
                .collect(),
        });
        mistakes.into_result(callback)
    }

    /// The type of the message, for `#[on_message]`.
    pub(crate) fn subject(&self) -> Option<&Type> {
        self.parameters
            .iter()
            .find_map(|parameter| match parameter {
                Parameter::Subject { ty } => Some(&**ty),
                Parameter::Path { .. } | Parameter::Session => None,
            })
    }
}

/// Mistakes met on the way, so that one compilation reports all of them.
#[derive(Default)]
pub(crate) struct Mistakes(Option<Error>);

impl Mistakes {
    pub(crate) fn add(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, or the mistake noted.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The value, if there was no mistake. A value that is missing must have left one.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> syn::Result<T> {
        match (self.0, value) {
            (None, Some(value)) => Ok(value),
            (Some(error), _) => Err(error),
            (None, None) => Err(Error::new(
                Span::call_site(),
                "the endpoint is not understood",
            )),
        }
    }
}

/// The type inside of the groups that `macro_rules!` and parentheses leave.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        _ => ty,
    }
}

/// The last name of a path: `Session` of `sockeye::Session`. Macros see no more of a type.
pub(crate) fn last_name(ty: &Type) -> Option<&Ident> {
    match peel(ty) {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// Whether an attribute of a parameter is `#[path]`.
pub(crate) fn is_path_mark(attribute: &Attribute) -> bool {
    attribute.path().is_ident("path")
}

fn access(receiver: &Receiver, mark: &str) -> syn::Result<Access> {
    // `self: &mut Self` is written as a type, `&mut self` as a reference.
    let mutable = match (
        &receiver.reference,
        &receiver.colon_token,
        peel(&receiver.ty),
    ) {
        (Some(_), ..) => Some(receiver.mutability.is_some()),
        (None, Some(_), Type::Reference(reference)) => last_name(&reference.elem)
            .filter(|name| *name == "Self")
            .map(|_| reference.mutability.is_some()),
        _ => None,
    };
    match mutable {
        Some(true) => Ok(Access::Exclusive),
        Some(false) => Ok(Access::Shared),
        None => Err(Error::new_spanned(
            receiver,
            format!(
                "the endpoint's object outlives an `#[{mark}]` method; take `&mut self` or `&self`"
            ),
        )),
    }
}

/// Takes `#[path]` off a parameter, and says what it asks for.
fn take_path(input: &mut PatType, arguments: &Arguments) -> syn::Result<Option<Parameter>> {
    let Some(index) = input.attrs.iter().position(is_path_mark) else {
        return Ok(None);
    };
    let mark = input.attrs.remove(index);
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
                &mark,
                "the variable's name stands in parentheses; write `#[path(\"name\")]`",
            ));
        }
    };
    let name = variable.value();
    if !arguments.has_variable(&name) {
        let known: Vec<String> = arguments
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
                "`{name}` is no variable of the path `{}`, {known}; \
                 {remedy}, or add `{{{name}}}` to the path",
                arguments.template()
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
    Ok(Some(Parameter::Path { variable, parsed }))
}

/// What a parameter without a mark is: the session, or what the callback is about.
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
    };
    let subject_taken = earlier
        .iter()
        .any(|parameter| matches!(parameter, Parameter::Subject { .. }));
    if fits && !subject_taken {
        if let Type::ImplTrait(_) = ty {
            return Err(Error::new_spanned(
                ty,
                "the parameter's type decides which kind of message the method takes; \
                 write the type, such as `&str` or `Bytes`",
            ));
        }
        if mutable || (event == Event::Error && reference.is_none()) {
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
    if let Some(name) = name.filter(|name| arguments.has_variable(name)) {
        return Err(Error::new_spanned(
            input,
            format!("a variable of the path is marked; write `#[path] {name}: …`"),
        ));
    }
    let takes = match event {
        Event::Open => "`&Session`",
        Event::Message => "one message, `&Session`",
        Event::Close => "one `CloseReason`, `&Session`",
        Event::Error => "one `&Error`, `&Session`",
    };
    Err(Error::new_spanned(
        input,
        format!(
            "an `#[{mark}]` method takes {takes} and parameters of the path, which are marked \
             `#[path]`; remove this one"
        ),
    ))
}

fn parameter_name(input: &PatType) -> Option<&Ident> {
    match &*input.pat {
        Pat::Ident(pattern) if pattern.subpat.is_none() => Some(&pattern.ident),
        _ => None,
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}
