"""The stages of a recipe without a micro-world: real text, conversations and pairs, and no known truth.

    base -> sft -> preferences -> reward -> ppo (on reward), dpo -> evaluation

What is measured instead of gold: loss and bits per byte of held-out text, the loss of held-out replies, how
many held-out pairs reward model and DPO rank as people did, the reward and the KL of replies to held-out
prompts, and IFEval's checkable instructions. Without --preferences the recipe is base, sft, evaluation.
Read given_stages.py before. Used by building.py.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from nn2llm.core.errors import ConfigError
from nn2llm.data.conversations import Conversation
from nn2llm.data.corpora import TextCorpus, load_corpus
from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import load_preferences
from nn2llm.evals.reply_scores import compute_row_logps
from nn2llm.evals.reward_accuracy import compute_accuracy
from nn2llm.evals.text_report import evaluate_text
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.recipe.costs import Ledger, conclude
from nn2llm.recipe.engine import Stage, StageOutcome
from nn2llm.recipe.given_evaluation import GivenEvaluator
from nn2llm.recipe.given_stages import SOURCES, PairedRecipe
from nn2llm.recipe.keys import list_settings
from nn2llm.recipe.replying import Writer, load_writer
from nn2llm.recipe.sources import Prompt, fingerprint_corpus, fingerprint_file, keep_fitting
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.policy_run import Observer
from nn2llm.train.stage_result import StageResult

__all__ = ["RealRecipe"]

_PAIRED = ("preferences", "reward", "ppo", "dpo")
_MAX_TEXT_TOKENS = 200_000
"""Of held-out text that the base model is measured on, in whole documents."""


class RealRecipe(PairedRecipe):
    """A recipe whose text, conversations and pairs are all given.

    Raises:
        Nn2llmError: if a file, or the base model, is missing.
    """

    @property
    def summaries(self) -> dict[str, str]:
        """Name of each stage, in order, and what happens in it."""
        made = super().summaries
        if self.config.given.base is None:
            made["base"] = "reads the text, token by token"
        made |= {
            "sft": "learns from the conversations to answer",
            "dpo": "learns from the pairs directly",
            "evaluation": "all models, on prompts that none has seen",
        }
        has_pairs = bool(self.config.given.preferences)
        return {name: text for name, text in made.items() if has_pairs or name not in _PAIRED}

    def build_stages(self) -> list[Stage]:
        """All that there are, in order."""
        config, out, given = self.config, self.out, self.config.given
        text = {} if given.corpus is None else {"text": fingerprint_corpus(given.corpus)}
        chats = {
            "val_fraction": given.val_fraction,
            "skip_unusable": given.skip_unusable,
            "data": [fingerprint_file(path) for path in given.sft_data],
        }
        learnt = list_settings(config.resolve_sft(out))
        num_prompts = {"num_prompts": config.num_ppo_prompts}
        if self.data.base is None:
            # a text is its fingerprint, not its path
            read = list_settings(config.resolve_pretrain()) | {"corpus": None}
            base = Stage(name="base", summary="", run=self._train_base, settings=text | {"pretrain": read})
        else:
            base = self._build_base_stage(self._shared_settings | text)
        others = {
            "base": base,
            "sft": Stage(
                name="sft",
                summary="",
                run=self._train_sft,
                settings=self._shared_settings | {"sft": learnt, "conversations": chats},
                needs=("base",),
                programs=SOURCES,
            ),
            "ppo": Stage(
                name="ppo",
                summary="",
                run=self._train_ppo,
                settings=self._shared_settings
                | num_prompts
                | {"ppo": list_settings(config.resolve_ppo(out)), "val_fraction": given.val_fraction},
                needs=("sft", "preferences", "reward"),
                programs=SOURCES,
            ),
            "dpo": Stage(
                name="dpo",
                summary="",
                run=self._train_dpo,
                settings=self._shared_settings | {"dpo": list_settings(config.resolve_dpo(out))},
                needs=("sft", "preferences"),
            ),
        }
        return self._exchange(super().build_stages(), others)

    # --- base -----------------------------------------------------------------------------------------------

    def _measure_base(self, writer: Writer) -> tuple[str, dict[str, float]]:
        """Held-out text in bits per byte: of the corpus, else of what a given run was trained on."""
        text = self.config.given.corpus
        if text is None and self.data.base is not None:
            text = self.data.base.corpus
        if text is None:
            return "taken as it is", {}
        corpus = load_corpus(text)
        # in the order of their hashes: the first documents may all be of one file
        documents = sorted(corpus.documents("val"), key=lambda one: hashlib.sha256(one.encode()).digest())
        report = evaluate_text(
            writer.model,
            writer.tokenizer,
            TextCorpus(documents, name=corpus.name),
            split="all",
            max_tokens=_MAX_TEXT_TOKENS,
            rows=False,
        )
        figures = report.figures[-1]
        loss, bits = figures.nats_per_token, figures.bits_per_byte
        metrics = {
            "nats_per_token": loss.estimate,
            "perplexity": figures.perplexity.estimate,
            "bits_per_byte": bits.estimate,
            "bits_per_byte_low": bits.low,
            "bits_per_byte_high": bits.high,
            "gzip_bits_per_byte": report.baselines.gzip,
            "xz_bits_per_byte": report.baselines.xz,
            "measured_tokens": float(figures.num_tokens),
            "measured_documents": float(report.num_documents),
        }
        return f"{bits.estimate:.3f} bits a byte of held-out text, {loss.estimate:.2f} nats a token", metrics

    # --- sft ------------------------------------------------------------------------------------------------

    def _load_demonstrations(self) -> tuple[list[Conversation], list[Conversation]]:
        return self.data.conversations

    def _measure_sft(self, folder: Path, result: StageResult) -> tuple[str, dict[str, float]]:
        train, val = self.data.conversations
        names = ("val_loss", "val_loss_before")
        metrics = {name: result.metrics[name] for name in names if name in result.metrics}
        metrics |= {"num_conversations": float(len(train)), "num_val_conversations": float(len(val))}
        if len(metrics) < 4:
            return f"{len(train):,} conversations", metrics
        before, after = metrics["val_loss_before"], metrics["val_loss"]
        return f"held-out replies {before:.2f} -> {after:.2f} nats a token", metrics

    def _check_room(self) -> None:
        """Whether prompts and pairs fit into the context: not said after an hour.

        Raises:
            ConfigError: if too few prompts do.
            DataError: if no pair does.
        """
        writer = load_writer(self.out / "base")
        chat = ChatFormat(add_chat_tokens(writer.model, writer.tokenizer)[1])
        context = writer.model.config.max_seq_len
        self._choose_prompts(chat, context, self.data.list_held_out_prompts(), "evaluation")
        if not self.config.given.preferences:
            return
        self._choose_prompts(chat, context, self.data.list_training_prompts(), "ppo")
        for pairs, what in zip(self.data.pairs, ("pairs", "held-out pairs"), strict=True):
            encode_pairs(pairs, chat, max_seq_len=context, what=what)

    def _choose_prompts(
        self, chat: ChatFormat, context: int, prompts: Sequence[Prompt], stage: str
    ) -> list[Prompt]:
        """The first that leave room for a reply, as many as are wanted."""
        room = getattr(self.config, stage).max_new_tokens
        num = self.config.num_ppo_prompts if stage == "ppo" else self.config.evaluation.num_prompts
        fitting = keep_fitting(chat, prompts, max_seq_len=context, room=room)
        if len(fitting) < 2:
            raise ConfigError(
                f"Of {len(prompts):,} prompts for stage {stage} {len(fitting)} leave room for a reply of "
                f"{room} tokens in the context of {context}. Set --{stage}.max-new-tokens lower, give "
                "shorter prompts, or take a base model with a longer context."
            )
        return fitting[:num]

    # --- ppo, dpo, evaluation -------------------------------------------------------------------------------

    def _list_ppo_prompts(self) -> tuple[Sequence[Prompt], Observer | None]:
        return self._choose_for_sft(self.data.list_training_prompts(), "ppo"), None

    def _choose_for_sft(self, prompts: Sequence[Prompt], stage: str) -> list[Prompt]:
        writer = load_writer(self.out / "sft")
        assert writer.chat is not None
        return self._choose_prompts(writer.chat, writer.model.config.max_seq_len, prompts, stage)

    def _conclude_aligned(self, folder: Path, ledger: Ledger, result: StageResult) -> StageOutcome:
        if folder.name == "dpo":
            metrics = self._measure_implicit_rewards(folder, ledger)
            return conclude(self._describe_judgement(metrics), ledger, metrics, result=result)
        metrics = {name: result.metrics[name] for name in ("reward", "kl", "reply_length", "finished")}
        headline = f"reward {metrics['reward']:.2f} at {max(0.0, metrics['kl']):.1f} nats from SFT"
        return conclude(headline, ledger, metrics, result=result)

    def _measure_implicit_rewards(self, folder: Path, ledger: Ledger) -> dict[str, float]:
        """How often DPO raised the chosen reply more than the rejected one."""
        device = self._choose_device()
        policy, reference = (load_writer(run, device) for run in (folder, self.out / "sft"))
        assert policy.chat is not None
        pairs = encode_pairs(
            load_preferences(self.out / "preferences" / "val.jsonl"),
            policy.chat,
            max_seq_len=policy.model.config.max_seq_len,
            what="held-out pairs",
        )
        moved, started = (compute_row_logps(one.model, pairs.rows) for one in (policy, reference))
        ledger.read(policy.model.config, 2 * sum(len(row.ids) for row in pairs.rows))
        gains = moved - started
        accuracy = compute_accuracy(gains[pairs.chosen] - gains[pairs.rejected])
        return {
            "accuracy": accuracy.estimate,
            "accuracy_low": accuracy.low,
            "accuracy_high": accuracy.high,
            "num_pairs": float(pairs.num_pairs),
        }

    def _build_evaluator(self) -> GivenEvaluator:
        return GivenEvaluator(
            config=self.config,
            out=self.out,
            device=self._choose_device(),
            prompts=self._choose_for_sft(self.data.list_held_out_prompts(), "evaluation"),
            ifeval=self.data.ifeval,
        )
