//! Writes what `#[server_endpoint]` adds to an `impl` block.
//!
//! The generated code names everything through `::sockeye::…`, and costs nothing over a trait
//! written by hand: the kinds of messages are constants, so that the compiler folds the
//! comparisons into a match on the message's tag; nothing is boxed or allocated.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    Attribute, Error, GenericParam, Generics, Item, ItemImpl, Lifetime, Type, spanned::Spanned,
};

use crate::{
    callback::{Callback, Parameter, peel},
    endpoint::{self, AnnotatedEndpoint},
    marker::Event,
};

/// The attribute: the block without its marks, and the endpoint's traits or the mistakes.
pub(crate) fn server_endpoint(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut block = match syn::parse2(item.clone()) {
        Ok(Item::Impl(block)) => block,
        Ok(other) => return refuse_item(&other),
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #item);
        }
    };
    let added = match AnnotatedEndpoint::parse(arguments, &mut block) {
        Ok(endpoint) => Expansion::new(&endpoint, &block).expand(),
        Err(mistakes) => {
            endpoint::strip(&mut block);
            mistakes.into_compile_error()
        }
    };
    quote!(#block #added)
}

fn refuse_item(item: &Item) -> TokenStream {
    let error = Error::new(
        Span::call_site(),
        "an endpoint is the `impl` block that holds its callbacks; put `#[server_endpoint(…)]` \
         on that block, and not on another item",
    )
    .into_compile_error();
    quote!(#error #item)
}

/// An endpoint, what is around it, and the names that the generated code gives to its own things.
struct Expansion<'e> {
    endpoint: &'e AnnotatedEndpoint,
    generics: &'e Generics,
    ty: &'e Type,
    /// The block's `#[cfg]`s: what is added must stand under the same.
    conditions: Vec<&'e Attribute>,
    // Invisible to the user's code, and it to them.
    session: Ident,
    subject: Ident,
    kind: Ident,
}

impl<'e> Expansion<'e> {
    fn new(endpoint: &'e AnnotatedEndpoint, block: &'e ItemImpl) -> Self {
        let conditions = block.attrs.iter();
        Self {
            endpoint,
            generics: &block.generics,
            ty: &block.self_ty,
            conditions: conditions
                .filter(|attribute| attribute.path().is_ident("cfg"))
                .collect(),
            session: Ident::new("session", Span::mixed_site()),
            subject: Ident::new("subject", Span::mixed_site()),
            kind: Ident::new("kind", Span::mixed_site()),
        }
    }

    fn expand(&self) -> TokenStream {
        let (generics, _, bounds) = self.generics.split_for_impl();
        let Self {
            endpoint,
            ty,
            conditions,
            ..
        } = self;
        let methods = [
            self.outcome_method(Event::Open),
            self.message_method(),
            self.outcome_method(Event::Close),
            self.error_method(),
        ];
        let implementations = if endpoint.is_shared() {
            let delegations = self.delegations();
            quote! {
                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::SharedEndpoint for #ty #bounds { #(#methods)* }

                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::Endpoint for #ty #bounds { #delegations }
            }
        } else {
            quote! {
                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::Endpoint for #ty #bounds { #(#methods)* }
            }
        };
        let description = self.description();
        let assertions = self
            .rivals(false)
            .map(|(conditions, assertion)| quote!(#conditions const _: () = #assertion;));
        quote! {
            #implementations
            #description
            #(#assertions)*
        }
    }

    /// Where the endpoint is served, and the constructor of its configuration.
    fn description(&self) -> TokenStream {
        let (generics, _, bounds) = self.generics.split_for_impl();
        let Self {
            endpoint,
            ty,
            conditions,
            ..
        } = self;
        let path = &endpoint.arguments.path;
        let subprotocols = &endpoint.arguments.subprotocols;
        let (constant, setter) = if subprotocols.is_empty() {
            (None, None)
        } else {
            let constant = quote! {
                const SUBPROTOCOLS: &'static [&'static str] = &[#(#subprotocols),*];
            };
            let setter = quote! {
                .subprotocols(<Self as ::sockeye::ServerEndpoint>::SUBPROTOCOLS.iter().copied())
            };
            (Some(constant), Some(setter))
        };
        let doc = format!(
            "The configuration that serves this endpoint at `{}`.\n\n\
             `factory` is called for each connection once its handshake is accepted, and returns \
             the object that the connection's callbacks are called on.{}",
            endpoint.arguments.template(),
            if endpoint.is_shared() {
                " The object may be an `Arc` that many connections share."
            } else {
                ""
            }
        );
        quote! {
            #(#conditions)*
            #[automatically_derived]
            impl #generics ::sockeye::ServerEndpoint for #ty #bounds {
                const PATH: &'static str = #path;
                #constant
            }

            #(#conditions)*
            impl #generics #ty #bounds {
                #[doc = #doc]
                pub fn endpoint<Object>(
                    factory: impl ::std::ops::Fn(&::sockeye::Handshake) -> Object
                        + ::std::marker::Send
                        + ::std::marker::Sync
                        + 'static,
                ) -> ::sockeye::EndpointConfig
                where
                    Object: ::sockeye::Endpoint + ::std::borrow::Borrow<Self>,
                {
                    ::sockeye::EndpointConfig::new(
                        <Self as ::sockeye::ServerEndpoint>::PATH,
                        factory,
                    )
                    #setter
                }
            }
        }
    }

    /// `on_open` or `on_close`.
    fn outcome_method(&self, event: Event) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session, subject, ..
        } = self;
        let name = format_ident!("{}", event.name());
        let reason = (event == Event::Close).then(|| quote!(#subject: ::sockeye::CloseReason));
        let methods = self.endpoint.callbacks(event).map(|callback| {
            let conditions = &callback.conditions;
            let call = self.call(callback, |fallible| quote!(#fallible?));
            let (value, convert) = conversion(callback, "IntoOutcome", "into_outcome");
            // A future that is not `Send` is the method's fault: it is blamed for it.
            quote_spanned! {blaming(callback.name.span())=>
                #(#conditions)*
                async fn #name(
                    #receiver,
                    #session: &::sockeye::Session,
                    #reason
                ) -> ::sockeye::Result {
                    let #value = #call;
                    #convert
                }
            }
        });
        quote!(#(#methods)*)
    }

    /// `on_message`, also without a callback for it: the trait's own method does nothing, but an
    /// annotated endpoint refuses the kinds that it has no method for.
    fn message_method(&self) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session,
            subject,
            kind,
            ..
        } = self;
        let assertions = self
            .rivals(true)
            .map(|(conditions, assertion)| quote!(#conditions { const { #assertion } }));
        let arms = self.endpoint.callbacks(Event::Message).map(|callback| {
            let conditions = &callback.conditions;
            let own = kind_of(callback);
            let call = self.call(callback, |fallible| quote!(#fallible?));
            let (value, convert) = conversion(callback, "IntoReply", "into_reply");
            quote! {
                #(#conditions)*
                if ::sockeye::__private::same_kind(#kind, #own) {
                    let #value = #call;
                    return #convert;
                }
            }
        });
        quote! {
            async fn on_message<'message>(
                #receiver,
                #session: &::sockeye::Session,
                #subject: ::sockeye::Incoming<'message>,
            ) -> ::sockeye::Result<::sockeye::Reply<'message>> {
                #(#assertions)*
                let #kind = #subject.kind();
                #(#arms)*
                ::std::result::Result::Ok(::sockeye::__private::unsupported(#session, #kind))
            }
        }
    }

    fn error_method(&self) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session, subject, ..
        } = self;
        let methods = self.endpoint.callbacks(Event::Error).map(|callback| {
            let conditions = &callback.conditions;
            // A parameter of the path that does not parse is an error with no callback left to go
            // to: it must not vanish all the same.
            let call = self.call(callback, |fallible| {
                quote! {
                    match #fallible {
                        ::std::result::Result::Ok(value) => value,
                        ::std::result::Result::Err(error) => {
                            return ::sockeye::__private::unreported(#session, error);
                        }
                    }
                }
            });
            quote_spanned! {blaming(callback.name.span())=>
                #(#conditions)*
                async fn on_error(
                    #receiver,
                    #session: &::sockeye::Session,
                    #subject: &::sockeye::Error,
                ) {
                    #call
                }
            }
        });
        quote!(#(#methods)*)
    }

    /// `Endpoint` by way of `SharedEndpoint`: the futures themselves are handed on.
    fn delegations(&self) -> TokenStream {
        let Self {
            session, subject, ..
        } = self;
        let delegation = |name: &str, subject: Option<(&Ident, TokenStream)>, output| {
            let name = format_ident!("{name}");
            let (ident, ty) = subject.unzip();
            let parameter = ident.map(|ident| quote!(#ident: #ty));
            quote! {
                fn #name(
                    &mut self,
                    #session: &::sockeye::Session,
                    #parameter
                ) -> impl ::std::future::Future<Output = #output> + ::std::marker::Send {
                    <Self as ::sockeye::SharedEndpoint>::#name(self, #session, #ident)
                }
            }
        };
        let open = delegation("on_open", None, quote!(::sockeye::Result));
        let close = delegation(
            "on_close",
            Some((subject, quote!(::sockeye::CloseReason))),
            quote!(::sockeye::Result),
        );
        let error = delegation(
            "on_error",
            Some((subject, quote!(&::sockeye::Error))),
            quote!(()),
        );
        quote! {
            #open

            fn on_message<'message>(
                &mut self,
                #session: &::sockeye::Session,
                #subject: ::sockeye::Incoming<'message>,
            ) -> impl ::std::future::Future<
                Output = ::sockeye::Result<::sockeye::Reply<'message>>,
            > + ::std::marker::Send {
                <Self as ::sockeye::SharedEndpoint>::on_message(self, #session, #subject)
            }

            #close
            #error
        }
    }

    fn receiver(&self) -> TokenStream {
        if self.endpoint.is_shared() {
            quote!(&self)
        } else {
            quote!(&mut self)
        }
    }

    /// The call of a method, in the trait's method for its event. `unwrap` makes a `Result`'s
    /// value of it, and returns otherwise.
    fn call(
        &self,
        callback: &Callback,
        unwrap: impl Fn(TokenStream) -> TokenStream,
    ) -> TokenStream {
        let Self {
            session, subject, ..
        } = self;
        let mut arguments = Vec::new();
        let mut bindings = Vec::new();
        for (index, parameter) in callback.parameters.iter().enumerate() {
            let value = match parameter {
                Parameter::Session => quote!(#session),
                Parameter::Path { variable, parsed } => unwrap(match parsed {
                    None => quote!(::sockeye::__private::path_text(#session, #variable)),
                    Some(ty) => quote_spanned! {ty.span()=>
                        ::sockeye::__private::path::<#ty>(#session, #variable)
                    },
                }),
                Parameter::Subject { ty } => match (callback.event, peel(ty)) {
                    (Event::Message, _) => {
                        let ty = without_lifetimes(ty, &callback.lifetimes);
                        unwrap(quote_spanned! {ty.span()=>
                            <#ty as ::sockeye::Argument<'message>>::from_message(#subject)
                        })
                    }
                    (Event::Close, Type::Reference(_)) => quote!(&#subject),
                    _ => quote!(#subject),
                },
            };
            // Bound first: a `Result` among the arguments would live in the future until the
            // callback is done.
            let argument = format_ident!("argument{index}", span = Span::mixed_site());
            bindings.push(quote!(let #argument = #value;));
            arguments.push(argument);
        }
        let name = &callback.name;
        let suspension = callback.is_async.then(|| quote!(.await));
        quote! {{
            #(#bindings)*
            Self::#name(self, #(#arguments),*) #suspension
        }}
    }

    /// For each two methods, the assertion that they take messages of different kinds, and its
    /// conditions: those that depend on the block's parameters, which only an instance can
    /// check, or the others, which are checked at once.
    fn rivals(&self, generic: bool) -> impl Iterator<Item = (TokenStream, TokenStream)> {
        let callbacks: Vec<&Callback> = self.endpoint.callbacks(Event::Message).collect();
        let mut assertions = Vec::new();
        for (index, second) in callbacks.iter().enumerate() {
            for first in callbacks.iter().take(index) {
                if (self.is_generic(first) || self.is_generic(second)) != generic {
                    continue;
                }
                let message = format!(
                    "`{0}` and `{1}` take the same kind of message; make `{0}` and `{1}` one method",
                    first.name, second.name
                );
                let (one, other) = (kind_of(first), kind_of(second));
                let conditions = [&first.conditions, &second.conditions];
                let conditions = conditions.into_iter().flatten();
                let own = self.conditions.iter();
                assertions.push((
                    quote!(#(#own)* #(#conditions)*),
                    quote_spanned! {second.name.span()=>
                        ::std::assert!(!::sockeye::__private::same_kind(#one, #other), #message)
                    },
                ));
            }
        }
        assertions.into_iter()
    }

    /// Whether a callback's message depends on the parameters of the `impl` block.
    fn is_generic(&self, callback: &Callback) -> bool {
        let parameters = self.generics.params.iter();
        let mut names: Vec<&Ident> = parameters
            .filter_map(|parameter| match parameter {
                GenericParam::Const(parameter) => Some(&parameter.ident),
                GenericParam::Lifetime(_) => None,
                GenericParam::Type(parameter) => Some(&parameter.ident),
            })
            .collect();
        let itself = Ident::new("Self", Span::call_site());
        names.push(&itself);
        callback
            .subject()
            .is_some_and(|ty| mentions(ty.to_token_stream(), &names))
    }
}

/// A name for what a method returned, and the expression that converts it: if there is no
/// conversion, the method's return type is to blame.
fn conversion(callback: &Callback, convert: &str, function: &str) -> (Ident, TokenStream) {
    let convert = format_ident!("{convert}");
    let function = format_ident!("{function}");
    let value = Ident::new("value", callback.output);
    let call = quote_spanned!(callback.output=> ::sockeye::#convert::#function(#value));
    (value, call)
}

/// Where generated code is to stand in an error, although its names are this macro's.
fn blaming(span: Span) -> Span {
    Span::call_site().located_at(span)
}

/// The kind of message that a method takes: a constant.
fn kind_of(callback: &Callback) -> Option<TokenStream> {
    let ty = without_lifetimes(callback.subject()?, &callback.lifetimes);
    Some(quote_spanned!(ty.span()=> <#ty as ::sockeye::Argument<'_>>::KIND))
}

fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => mentions(group.stream(), names),
        TokenTree::Ident(ident) => names.contains(&&ident),
        TokenTree::Literal(_) | TokenTree::Punct(_) => false,
    })
}

/// A type as it reads outside of the method that declares these lifetimes: the compiler finds
/// them by itself.
fn without_lifetimes(ty: &Type, lifetimes: &[Lifetime]) -> TokenStream {
    replace_lifetimes(ty.to_token_stream(), lifetimes)
}

fn replace_lifetimes(tokens: TokenStream, lifetimes: &[Lifetime]) -> TokenStream {
    let mut after_quote = false;
    let replace = |token| {
        let is_name = std::mem::take(&mut after_quote);
        match token {
            TokenTree::Group(group) => {
                let inner = replace_lifetimes(group.stream(), lifetimes);
                let mut replaced = Group::new(group.delimiter(), inner);
                replaced.set_span(group.span());
                TokenTree::Group(replaced)
            }
            TokenTree::Ident(name)
                if is_name && lifetimes.iter().any(|lifetime| lifetime.ident == name) =>
            {
                TokenTree::Ident(Ident::new("_", name.span()))
            }
            TokenTree::Punct(punct) => {
                after_quote = punct.as_char() == '\'';
                TokenTree::Punct(punct)
            }
            other => other,
        }
    };
    tokens.into_iter().map(replace).collect()
}
