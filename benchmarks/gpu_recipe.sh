#!/usr/bin/env bash
# The recipe on real data on one GPU, in pieces: `nn2llm chatgpt --preset gpu`, stopped by SIGTERM and resumed.
#
#   benchmarks/gpu_recipe.sh pack DATA PACK          where the data is: learn the vocabulary, tokenise, compress
#   benchmarks/gpu_recipe.sh try  PACK               on the GPU: every stage once, tiny, in a minute or two
#   benchmarks/gpu_recipe.sh run  PACK RUN [SECONDS] [FLAGS]   on the GPU: again and again, until it says "Done"
#
# DATA has pretrain/, sft/, pref/ and eval/ (names below). PACK is some 62 MB. RUN is the recipe's folder: keep it
# from piece to piece. Whatever is small of RUN is copied to $OUT where that is set: report.html, report.md,
# report.json and results.tar.gz. Exit code: 0 done, 130 (or 143) stopped after SECONDS: run it again; else failed.
# A machine with torch needs tyro, typeguard and docstring_parser too; wheels in .whl/ are installed where it lacks
# them.
set -euo pipefail

CONVERSATIONS=(
  alpaca-claude-t45.json.gz alpaca-cherry-5pct.json.gz alpaca-random-9k.json.gz llamafactory-alpaca-en-demo.json.gz
  dolly-3k.json.gz dolly-hhrlhf-train-small.jsonl.gz lima.json.gz rasbt-instruction-data.json
)
PAIRS=(hh-rlhf-harmless-base-test.jsonl.gz)
IFEVAL=ifeval-input-data.jsonl
VOCAB_SIZE=25600   # with it 12 layers of 768 have 124 million weights

cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1

need_wheels() {
  "$PYTHON" -c "import tyro" 2>/dev/null && return
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site .whl/*.whl
  export PYTHONPATH="$PYTHONPATH:/tmp/site"
}

pack() {
  local data=$1 pack=$2
  mkdir -p "$pack"
  # a part of each kind of text: files are read in the order of their names
  "$PYTHON" -m nn2llm tokenizer train --corpus "$data/pretrain/*-00.jsonl.gz" --vocab-size $VOCAB_SIZE \
    --train-mb 70 --out "$pack/.work/tokenizer" --replace
  "$PYTHON" -m nn2llm data prepare --corpus "$data/pretrain" --tokenizer "$pack/.work/tokenizer" \
    --out "$pack/.work/tokens" --replace
  tar -C "$pack/.work" -cf - tokens | xz -6 > "$pack/tokens.tar.xz"
  for name in "${CONVERSATIONS[@]}"; do cp -f "$data/sft/$name" "$pack/"; done
  for name in "${PAIRS[@]}"; do cp -f "$data/pref/$name" "$pack/"; done
  cp -f "$data/eval/$IFEVAL" "$pack/"
  chmod u+w "$pack"/*
  rm -rf "$pack/.work"
  du -cb "$pack"/* | tail -1
}

# unpack PACK: the tokens, beside the home folder, not in PACK, which travels again with each piece
unpack() {
  export NN2LLM_HOME=${NN2LLM_HOME:-/tmp/nn2llm-home}
  TOKENS=$NN2LLM_HOME/gpu-tokens
  [ -f "$TOKENS/manifest.json" ] && return
  mkdir -p "$NN2LLM_HOME"
  tar -C "$NN2LLM_HOME" -xJf "$1/tokens.tar.xz"
  mv "$NN2LLM_HOME/tokens" "$TOKENS"
}

recipe() {  # recipe PACK RUN SECONDS FLAGS…
  local pack=$1 run=$2 seconds=$3 conversations=() pairs=()
  shift 3
  for name in "${CONVERSATIONS[@]}"; do conversations+=("$pack/$name"); done
  for name in "${PAIRS[@]}"; do pairs+=("$pack/$name"); done
  timeout --preserve-status --signal=TERM "$seconds" "$PYTHON" -m nn2llm chatgpt --preset gpu --no-talk \
    --out "$run" --corpus "$TOKENS" --skip-unusable --sft-data "${conversations[@]}" \
    --preferences "${pairs[@]}" --ifeval "$pack/$IFEVAL" "$@"
}

collect() {  # collect RUN: what is small, whether the run is done or not
  [ -n "${OUT:-}" ] || return 0
  for file in "$1"/report.*; do [ -f "$file" ] && cp "$file" "$OUT/"; done
  (cd "$1" && find . \( -name '*.json' -o -name '*.jsonl' \) -not -path './.*' -not -path './preferences/*' \
    -not -name 'tokenizer*.json' -not -name 'training.pt' -size -8M -print0 | tar --null -czf "$OUT/results.tar.gz" -T -)
}

case ${1:-} in
  pack) pack "$2" "$3" ;;
  try)
    need_wheels
    unpack "$2"
    rm -rf runs/gpu-try
    recipe "$2" runs/gpu-try 300 --pretrain.steps 12 --pretrain.eval-every 12 --pretrain.eval-tokens 65536 \
      --pretrain.schedule.warmup-steps 2 --pretrain.checkpoint-every 12 --sft.steps 4 --reward.steps 4 \
      --ppo.steps 2 --dpo.steps 4 --evaluation.num-prompts 16 --evaluation.max-new-tokens 24 --ifeval-tokens 24
    ;;
  run)
    pack_folder=$2 run_folder=$3 seconds=${4:-540}
    shift $(($# < 4 ? $# : 4))
    need_wheels
    unpack "$pack_folder"
    code=0
    recipe "$pack_folder" "$run_folder" "$seconds" "$@" || code=$?
    collect "$run_folder"
    case $code in
      0) echo "Done." ;;
      130 | 143) echo "Stopped after $seconds s; run the same line again." ;;
    esac
    exit $code
    ;;
  *)
    sed -n '2,14p' "$0"
    exit 2
    ;;
esac
