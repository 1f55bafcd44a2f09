//! The list of all checks, and what each needs.

use super::failure::Failure;
use super::ground::Ground;
use super::report::Outcome;
use super::{
    dropped, key, latest, listen, loss, node, order, position, presence, storm, unstored, window,
};
use crate::backend::Backend;
use crate::backend::Capability::{self, Clock, Cut, Delay, Forget, Freeze, Kill, Nodes, Presence};
use crate::backend::Wait;

/// A check of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The name, as a sentence with underscores.
    pub name: &'static str,
    /// What the check needs of a backend.
    pub needs: &'static [Capability],
    judge: Judge,
}

type Judge = for<'g> fn(&'g Ground<'g>) -> Wait<'g, Result<(), Failure>>;

impl Check {
    /// Returns the check of this name.
    pub fn named(name: &str) -> Option<Self> {
        CHECKS.iter().find(|check| check.name == name).copied()
    }

    /// Runs the check, or skips it if the backend lacks what it needs.
    pub async fn run(&self, backend: &dyn Backend) -> Outcome {
        let has = backend.capabilities();
        if let Some(lacked) = self.needs.iter().find(|need| !has.contains(need)) {
            return Outcome::Skipped(*lacked);
        }
        let ground = match Ground::new(backend, self.name).await {
            Ok(ground) => ground,
            Err(failure) => return Outcome::Failed(failure),
        };
        let judged = (self.judge)(&ground).await;
        ground.stop().await;
        match judged {
            Ok(()) => Outcome::Passed,
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

macro_rules! checks {
    ($($module:ident { $($name:ident $([$($need:ident),+])?,)+ })+) => {
        &[$($(Check {
            name: stringify!($name),
            needs: &[$($($need),+)?],
            judge: |ground| Box::pin($module::$name(ground)),
        },)+)+]
    };
}

/// All checks.
pub const CHECKS: &[Check] = checks! {
    order {
        offsets_rise_by_one,
        ids_are_the_drawn_ones,
        messages_name_the_one_before,
        messages_come_in_order,
        content_travels_unchanged,
        unstored_content_travels_unchanged,
        a_large_message_travels_whole,
        topics_do_not_mix,
        nodes_see_one_order,
        a_history_that_changes_keeps_positions,
    }
    listen {
        listen_answers_for_each_topic,
        messages_after_listen_come,
        a_topic_without_listen_is_silent,
        an_unlistened_topic_is_silent,
        listening_twice_delivers_once,
        listening_again_delivers_again,
        a_message_comes_back_to_its_node,
        unstored_messages_come_to_each_node,
        unlisten_leaves_other_nodes [Nodes],
        reads_name_the_generation,
    }
    unstored {
        without_history_there_is_no_position,
        without_history_nothing_is_kept,
        without_history_a_key_is_refused,
    }
    window {
        recent_reads_the_newest,
        after_reads_all_behind,
        the_count_is_a_limit,
        the_age_is_a_limit,
        the_bytes_are_a_limit,
        the_top_misses_nothing,
        a_window_goes_on_after_its_age,
        a_long_read_is_whole,
    }
    position {
        another_epoch_is_lost,
        another_id_is_lost,
        another_id_at_the_top_is_lost,
        a_future_offset_is_lost,
        top_begins_an_epoch,
        top_reads_no_message,
        a_position_of_an_unknown_topic_is_lost,
        tops_create_nothing,
        tops_answer_for_each_topic,
        epochs_are_drawn,
    }
    latest {
        latest_gives_the_newest,
        latest_repeats_no_value,
        latest_without_a_value_says_so,
        the_time_of_the_latest_is_a_limit,
        each_value_comes,
        a_new_value_has_its_whole_time [Clock],
    }
    key {
        a_repeated_key_is_one_message,
        other_keys_are_other_messages,
        keys_of_parties_are_apart,
        keys_of_topics_are_apart,
        client_keys_live_for_a_minute [Clock],
        server_keys_live_for_five_minutes [Clock],
        latest_values_have_keys,
    }
    loss {
        a_forgotten_topic_begins_anew [Forget],
        a_cut_feed_reports_a_gap [Cut],
        a_cut_feed_loses_signals [Cut],
        a_late_publish_is_refused [Delay],
        calls_end_while_the_backend_is_silent [Freeze],
    }
    node {
        a_started_engine_is_ready,
        a_stopped_engine_refuses,
        signals_reach_each_node,
        live_nodes_are_reported,
        a_killed_node_is_not_live [Nodes, Kill],
    }
    presence {
        entered_members_are_listed [Presence],
        members_that_left_are_gone [Presence],
        a_member_that_enters_again_is_replaced [Presence],
        lists_are_cut_at_their_maximum [Presence],
        members_of_topics_are_apart [Presence],
        counts_add_up [Presence],
        members_of_all_nodes_are_listed [Presence, Nodes],
        a_stopped_node_leaves_no_members [Presence, Nodes],
        a_killed_node_leaves_no_members [Presence, Nodes, Kill],
        members_of_a_live_node_stay [Presence, Clock],
    }
    storm {
        a_thousand_topics_at_once,
        a_thousand_publishes_at_once,
        a_storm_passes_the_checker,
    }
    dropped {
        a_dropped_publish_happens_at_most_once,
        a_dropped_listen_disturbs_nothing,
        a_dropped_read_disturbs_nothing,
        a_dropped_enter_can_be_repeated [Presence],
        a_dropped_count_can_be_repeated [Presence],
        a_dropped_stop_can_be_repeated,
    }
};
