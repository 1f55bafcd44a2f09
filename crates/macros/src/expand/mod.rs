//! Writes the code that `#[server_endpoint]` and `#[client_endpoint]` add to an `impl` block.
//!
//! The generated code names all items by `::sockeye::…`. It costs no more than an implementation written by hand. The
//! kinds of messages are constants, so the compiler folds the comparisons into a match on the message's tag. Nothing is
//! boxed or allocated.

mod kind;
mod method;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, Error, Generics, Item, ItemImpl, Type, spanned::Spanned};

use crate::{
    argument::{ServerArguments, Side},
    endpoint::{self, AnnotatedEndpoint},
    marker::Event,
};

/// Expands an endpoint's attribute. Returns the block without its marks, and the implementations or the mistakes.
pub(crate) fn endpoint(side: Side, arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut block = match syn::parse2(item.clone()) {
        Ok(Item::Impl(block)) => block,
        Ok(other) => return refuse_item(side, &other),
        Err(error) => {
            let error = error.into_compile_error();
            return quote!(#error #item);
        }
    };
    let added = match AnnotatedEndpoint::parse(side, arguments, &mut block) {
        Ok(endpoint) => Expansion::new(&endpoint, &block).expand(),
        Err(mistakes) => {
            endpoint::strip(&mut block);
            mistakes.into_compile_error()
        }
    };
    quote!(#block #added)
}

fn refuse_item(side: Side, item: &Item) -> TokenStream {
    let attribute = match side {
        Side::Client => "#[client_endpoint]",
        Side::Server => "#[server_endpoint(…)]",
    };
    let error = Error::new(
        Span::call_site(),
        format!(
            "an endpoint is the `impl` block that holds its callbacks; put `{attribute}` \
             on that block, and not on another item"
        ),
    )
    .into_compile_error();
    quote!(#error #item)
}

/// The expansion of an endpoint: the endpoint, its `impl` block, and the names in the generated code.
struct Expansion<'e> {
    endpoint: &'e AnnotatedEndpoint,
    generics: &'e Generics,
    ty: &'e Type,
    /// The block's `#[cfg]`s. The added items get the same ones.
    conditions: Vec<&'e Attribute>,
    // Names of the generated code. Hygiene separates them from those of the user's code.
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
            self.message_at_once_method(),
            self.outcome_method(Event::Close),
            self.error_method(),
            self.outcome_method(Event::Gap),
        ];
        let in_parts = self.in_parts();
        let pings = self.pings();
        let max_messages = self.max_messages();
        let implementations = if endpoint.is_shared() {
            let delegations = self.delegations();
            quote! {
                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::endpoint::SharedEndpoint for #ty #bounds {
                    #in_parts
                    #pings
                    #max_messages
                    #(#methods)*
                }

                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::Endpoint for #ty #bounds {
                    const IN_PARTS: &'static [::sockeye::endpoint::IncomingKind] =
                        <Self as ::sockeye::endpoint::SharedEndpoint>::IN_PARTS;
                    const PINGS: bool = <Self as ::sockeye::endpoint::SharedEndpoint>::PINGS;
                    const MAX_MESSAGES: &'static [(::sockeye::endpoint::IncomingKind, u64)] =
                        <Self as ::sockeye::endpoint::SharedEndpoint>::MAX_MESSAGES;
                    #delegations
                }
            }
        } else {
            quote! {
                #(#conditions)*
                #[automatically_derived]
                impl #generics ::sockeye::Endpoint for #ty #bounds {
                    #in_parts
                    #pings
                    #max_messages
                    #(#methods)*
                }
            }
        };
        let server = endpoint.arguments.server();
        let deployment = server.map(|server| self.deployment(server));
        let assertions = self
            .rivals(false)
            .map(|(conditions, assertion)| quote!(#conditions const _: () = #assertion;));
        let limited_kinds = self.limited_kinds();
        quote! {
            #implementations
            #deployment
            #(#assertions)*
            #(#limited_kinds)*
        }
    }

    /// Returns the implementation of `ServerEndpoint`, and the constructor of the configuration.
    fn deployment(&self, server: &ServerArguments) -> TokenStream {
        let (generics, _, bounds) = self.generics.split_for_impl();
        let Self {
            endpoint,
            ty,
            conditions,
            ..
        } = self;
        let path = &server.path;
        let subprotocols = &server.subprotocols;
        let subprotocols = (!subprotocols.is_empty()).then(|| {
            quote! {
                const SUBPROTOCOLS: &'static [&'static str] = &[#(#subprotocols),*];
            }
        });
        let config = Ident::new("config", Span::mixed_site());
        let mut configured = quote!(#config);
        if let Some(configurator) = &server.configurator {
            configured = quote_spanned! {configurator.span()=>
                ::sockeye::endpoint::EndpointConfig::configurator(#configured, #configurator)
            };
        }
        if let Some(word) = &server.topics {
            // Without the feature `topics-wire` no configuration implements the trait, and the error points to the word.
            configured = quote_spanned!(word.span()=> ::sockeye::__private::SpeakTopics::topics(#configured));
        }
        let is_configured = server.configurator.is_some() || server.topics.is_some();
        let configure = is_configured.then(|| {
            quote! {
                fn configure(#config: ::sockeye::endpoint::EndpointConfig) -> ::sockeye::endpoint::EndpointConfig {
                    #configured
                }
            }
        });
        let doc = format!(
            "The configuration that serves this endpoint at `{}`.\n\n\
             `factory` is called for each connection once its handshake is accepted, and returns \
             the object that the connection's callbacks are called on.{}",
            server.template(),
            if endpoint.is_shared() {
                " The object may be an `Arc` that many connections share."
            } else {
                ""
            }
        );
        quote! {
            #(#conditions)*
            #[automatically_derived]
            impl #generics ::sockeye::endpoint::ServerEndpoint for #ty #bounds {
                const PATH: &'static str = #path;
                #subprotocols
                #configure
            }

            #(#conditions)*
            impl #generics #ty #bounds {
                #[doc = #doc]
                pub fn endpoint<Object>(
                    factory: impl ::std::ops::Fn(&::sockeye::endpoint::Handshake) -> Object
                        + ::std::marker::Send
                        + ::std::marker::Sync
                        + 'static,
                ) -> ::sockeye::endpoint::EndpointConfig
                where
                    Object: ::sockeye::Endpoint + ::std::borrow::Borrow<Self>,
                {
                    ::sockeye::endpoint::EndpointConfig::of::<Self, Object>(factory)
                }
            }
        }
    }

    /// Returns the methods of `Endpoint` that call those of `SharedEndpoint`, and return their futures.
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
                    <Self as ::sockeye::endpoint::SharedEndpoint>::#name(self, #session, #ident)
                }
            }
        };
        let open = delegation("on_open", None, quote!(::sockeye::HandlerResult));
        let close = delegation(
            "on_close",
            Some((subject, quote!(::sockeye::CloseReason))),
            quote!(::sockeye::HandlerResult),
        );
        let error = delegation(
            "on_error",
            Some((subject, quote!(&::sockeye::Error))),
            quote!(()),
        );
        // Without the feature `topics` the traits have no such method.
        let gap = self.endpoint.callbacks(Event::Gap).next().map(|_| {
            delegation(
                "on_gap",
                Some((subject, quote!(&::sockeye::topics::Gap))),
                quote!(::sockeye::HandlerResult),
            )
        });
        quote! {
            #open

            fn on_message<'message>(
                &mut self,
                #session: &::sockeye::Session,
                #subject: ::sockeye::endpoint::Incoming<'message>,
            ) -> impl ::std::future::Future<
                Output = ::sockeye::HandlerResult<::sockeye::endpoint::Reply<'message>>,
            > + ::std::marker::Send {
                <Self as ::sockeye::endpoint::SharedEndpoint>::on_message(self, #session, #subject)
            }

            #[inline]
            fn on_message_at_once<'message>(
                &mut self,
                #session: &::sockeye::Session,
                #subject: ::sockeye::__private::WholeMessage<'message>,
            ) -> ::std::option::Option<::sockeye::HandlerResult<::sockeye::endpoint::Reply<'message>>> {
                <Self as ::sockeye::endpoint::SharedEndpoint>::on_message_at_once(self, #session, #subject)
            }

            #close
            #error
            #gap
        }
    }
}
