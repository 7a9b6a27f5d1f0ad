# The experiment behind the shipped model `tiny`, on one GPU or two. What is finished is not made again, and an
# interrupted training goes on where it was.
#
#   make -f benchmarks/tiny.mk shipped               cold start, GRPO, and answers of both to the same `test` puzzles
#   make -f benchmarks/tiny.mk sweep                 GRPO with other settings, asked on `validation`: how to choose them
#   make -f benchmarks/tiny.mk arms                  also: no reflective words, and as many minutes of cold start again
#   make -f benchmarks/tiny.mk record                small files of all this to RESULTS, the model to SHIP: those of
#                                                    the repository with RESULTS=benchmarks/results/tiny SHIP=train/tiny
#
# With two GPUs: GPUS=2 -j 2. Toy sizes, for a look on a CPU: COLD, GRPO and ASK add options to the commands.
PYTHON ?= python3
OUT ?= outputs/tiny
RESULTS ?= $(OUT)/results
SHIP ?= $(OUT)/shipped
GPUS ?= 1
COLD ?=
GRPO ?=
ASK ?=
ROWS ?= 40000
SWEEP_STEPS ?= 40
SWEEP_CANDIDATES ?= 3000

export TOKENIZERS_PARALLELISM ?= false
R1 := $(PYTHON) -m countdown_r1
FIRST := CUDA_VISIBLE_DEVICES=0
SECOND := CUDA_VISIBLE_DEVICES=$(if $(filter 1,$(GPUS)),0,1)
PLAIN := --set cold_start.reflective=false --set cold_start.reflect_chance=0
DONE := manifest.json

# Learning rate; what a format reward beside that for the answer does; as much room as the evaluation gives.
SWEEP := rate-1e-4 format rate-2e-4 room
SET_rate-1e-4 := --set grpo.learning_rate=1e-4
SET_rate-2e-4 := --set grpo.learning_rate=2e-4
SET_format := $(SET_rate-1e-4) --set rewards.functions=[equation_reward,format_reward]
SET_room := $(SET_rate-1e-4) --set grpo.max_completion_length=2048 --set grpo.per_device_train_batch_size=64 \
	--set grpo.gradient_accumulation_steps=16
GPU_rate-1e-4 := $(FIRST)
GPU_rate-2e-4 := $(FIRST)
GPU_format := $(SECOND)
GPU_room := $(SECOND)

.PHONY: shipped sweep arms record
.DELETE_ON_ERROR:
shipped: $(OUT)/answers/cold.jsonl.gz $(OUT)/answers/grpo.jsonl.gz
arms: shipped $(patsubst %,$(OUT)/answers/%.jsonl.gz,plain plain-grpo longer)
sweep: $(patsubst %,$(OUT)/sweep/%.done,$(SWEEP)) $(OUT)/sweep/cold.done
	$(PYTHON) benchmarks/tiny_report.py $(OUT)/sweep --ahas 0 --out $(OUT)/sweep.json

record:
	test ! -d $(OUT)/answers || $(PYTHON) benchmarks/tiny_report.py $(OUT)/answers --out $(OUT)/summary.json
	$(PYTHON) benchmarks/tiny_record.py $(OUT) --results $(RESULTS) --ship $(SHIP)

$(OUT)/cold/$(DONE):
	$(FIRST) $(R1) train tiny-cold-start --out $(OUT)/cold $(COLD)

$(OUT)/plain/$(DONE):
	$(SECOND) $(R1) train tiny-cold-start --out $(OUT)/plain $(PLAIN) $(COLD)

$(OUT)/dataset/$(DONE):
	$(R1) build-dataset --rows $(ROWS) --numbers 4 --out $(OUT)/dataset

$(OUT)/grpo/$(DONE): $(OUT)/cold/$(DONE) $(OUT)/dataset/$(DONE)
	$(FIRST) $(R1) train tiny-grpo --dataset $(OUT)/dataset --out $(OUT)/grpo --set base=$(OUT)/cold $(GRPO)

$(OUT)/plain-grpo/$(DONE): $(OUT)/plain/$(DONE) $(OUT)/dataset/$(DONE)
	$(SECOND) $(R1) train tiny-grpo --dataset $(OUT)/dataset --out $(OUT)/plain-grpo --set base=$(OUT)/plain $(GRPO)

# From the same weights with the optimizer begun anew, for as long as GRPO held the GPU; half the first peak rate.
$(OUT)/longer/$(DONE): $(OUT)/grpo/$(DONE)
	minutes=$$($(PYTHON) -c 'import json; print(60 * json.load(open("$(OUT)/grpo/cost.json"))["hours"])'); \
	$(FIRST) $(R1) train tiny-cold-start --out $(OUT)/longer --set cold_start.start=$(OUT)/cold $(COLD) \
		--set cold_start.minutes=$$minutes --set cold_start.learning_rate=1e-3

$(OUT)/answers/plain.jsonl.gz $(OUT)/answers/plain-grpo.jsonl.gz: GPU = $(SECOND)
ifneq ($(filter arms,$(MAKECMDGOALS)),)  # on each GPU all training comes first, then all questions
$(patsubst %,$(OUT)/answers/%.jsonl.gz,cold grpo): | $(OUT)/longer/$(DONE)
$(OUT)/answers/plain.jsonl.gz: | $(OUT)/plain-grpo/$(DONE)
endif
$(OUT)/answers/%.jsonl.gz: $(OUT)/%/$(DONE)
	$(or $(GPU),$(FIRST)) $(PYTHON) benchmarks/tiny_answers.py --out $(OUT)/answers $(ASK) $*=$(OUT)/$*

$(OUT)/sweep/cold.done: $(OUT)/cold/$(DONE)
	$(SECOND) $(PYTHON) benchmarks/tiny_answers.py --split validation --out $(OUT)/sweep $(ASK) cold=$(OUT)/cold
	touch $@

# One after the other on each GPU.
after = | $(patsubst %,$(OUT)/sweep/%.done,$(filter $(1),$(SWEEP)))
$(OUT)/sweep/rate-2e-4.done: $(call after,rate-1e-4)
$(OUT)/sweep/room.done: $(call after,format)
$(OUT)/sweep/%.done: $(OUT)/cold/$(DONE) $(OUT)/dataset/$(DONE)
	$(GPU_$*) $(R1) train tiny-grpo --dataset $(OUT)/dataset --out $(OUT)/sweep/$* --set base=$(OUT)/cold \
		--set curriculum.candidates=$(SWEEP_CANDIDATES) --set grpo.max_steps=$(SWEEP_STEPS) \
		--set grpo.save_steps=$$(( $(SWEEP_STEPS) / 2 )) $(GRPO) $(SET_$*)
	$(GPU_$*) $(PYTHON) benchmarks/tiny_answers.py --split validation --out $(OUT)/sweep $(ASK) \
		$$(for folder in $(OUT)/sweep/$*/checkpoint-*; do echo $*-$${folder##*-}=$$folder; done)
	touch $@
