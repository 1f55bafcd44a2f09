//! One marked method: its event, its parameters, and its result.

use proc_macro2::Span;
use syn::{
    Attribute, Error, Expr, FnArg, GenericParam, Ident, ImplItemFn, Lifetime, Receiver,
    ReceiverKind, ReturnType, Safety, Type, spanned::Spanned,
};

use crate::{
    argument::Arguments,
    marker::{Event, Mark},
    mistake::Mistakes,
    parameter::{Parameter, last_name, peel},
};

/// A method that is called for an event.
pub(crate) struct Callback {
    pub(crate) event: Event,
    /// The longest message that the method takes, in bytes, if `max` is given.
    pub(crate) max: Option<Expr>,
    pub(crate) name: Ident,
    pub(crate) is_async: bool,
    pub(crate) receiver: Access,
    pub(crate) parameters: Vec<Parameter>,
    /// The place of an error about the return type.
    pub(crate) output: Span,
    /// The lifetimes that the method declares. They are unknown outside of it.
    pub(crate) lifetimes: Vec<Lifetime>,
    /// The method's `#[cfg]`s. The code that calls the method gets the same ones.
    pub(crate) conditions: Vec<Attribute>,
}

/// How a method takes `self`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Exclusive,
    Shared,
}

impl Callback {
    /// Returns whether the method can be called with a message in the read buffer: it does not suspend, and borrows the
    /// message.
    pub(crate) fn is_at_once(&self) -> bool {
        !self.is_async && self.subject().is_some_and(is_lent)
    }

    /// Parses a marked method, and removes `#[path]` from its parameters.
    pub(crate) fn parse(
        Mark { event, max }: Mark,
        method: &mut ImplItemFn,
        arguments: &Arguments,
    ) -> syn::Result<Self> {
        let mark = event.name();
        let signature = &mut method.sig;
        let mut mistakes = Mistakes::default();

        if let Safety::Unsafe(keyword) = &signature.safety {
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
                        "the caller of an `#[{mark}]` method cannot choose this parameter; \
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
            let parameter = Parameter::parse(event, input, &parameters, arguments);
            parameters.extend(mistakes.keep(parameter));
        }
        let has_subject = parameters.iter().any(Parameter::is_subject);
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
                        "an `#[on_error]` method cannot return a value; return nothing",
                    ));
                }
                ty.span()
            }
        };
        let conditions = method.attrs.iter();
        let callback = receiver.map(|receiver| Self {
            event,
            max,
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

    /// Returns the type of the event's subject: of the message, for `#[on_message]`.
    pub(crate) fn subject(&self) -> Option<&Type> {
        self.parameters
            .iter()
            .find_map(|parameter| match parameter {
                Parameter::Subject { ty } => Some(&**ty),
                Parameter::Path { .. } | Parameter::Session => None,
            })
    }
}

fn access(receiver: &Receiver, mark: &str) -> syn::Result<Access> {
    // `self: &mut Self` is written as a type, `&mut self` as a reference.
    let mutable = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => Some(mutability.is_some()),
        ReceiverKind::Typed(_, ty) => match peel(ty) {
            Type::Reference(reference) => last_name(&reference.elem)
                .filter(|name| *name == "Self")
                .map(|_| reference.mutability.is_some()),
            _ => None,
        },
        _ => None,
    };
    match mutable {
        Some(true) => Ok(Access::Exclusive),
        Some(false) => Ok(Access::Shared),
        None => Err(Error::new_spanned(
            receiver,
            format!(
                "an `#[{mark}]` method cannot consume the endpoint's object; take `&mut self` or `&self`"
            ),
        )),
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Returns whether a message's type is written as `&str` or `&[u8]`.
fn is_lent(ty: &Type) -> bool {
    let Type::Reference(reference) = peel(ty) else {
        return false;
    };
    let named = |ty: &Type, name| matches!(peel(ty), Type::Path(path) if path.path.is_ident(name));
    match peel(&reference.elem) {
        Type::Slice(slice) => named(&slice.elem, "u8"),
        ty => named(ty, "str"),
    }
}
