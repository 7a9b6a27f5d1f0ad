# The experiment behind the shipped model `tiny`, on one GPU or two. What is finished is not made again, and an
# interrupted training goes on where it was.
#
#   make -f benchmarks/tiny.mk shipped               cold start, GRPO, and answers of both to the same `test` puzzles
#   make -f benchmarks/tiny.mk arms                  also: no reflective words, and as many minutes of cold start again
#   make -f benchmarks/tiny.mk small -j2             on two CPU cores in 45 minutes, from `cold`: rewards, loss types and
#                                                    temperatures, each by what it solves of `validation` afterwards
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

export TOKENIZERS_PARALLELISM ?= false
R1 := $(PYTHON) -m countdown_r1
FIRST := CUDA_VISIBLE_DEVICES=0
SECOND := CUDA_VISIBLE_DEVICES=$(if $(filter 1,$(GPUS)),0,1)
PLAIN := --set cold_start.reflective=false --set cold_start.reflect_chance=0
DONE := manifest.json

# GRPO is run with each of these settings; what solves most four-number puzzles of `validation` becomes `grpo`. The
# shipped model had the first one alone: SWEEP="rate-1.2e-4 rate-6e-5" tries both.
SWEEP ?= rate-1.2e-4
SET_rate-1.2e-4 := --set grpo.learning_rate=1.2e-4
SET_rate-6e-5 := --set grpo.learning_rate=6.0e-5
GPU_rate-1.2e-4 := $(FIRST)
GPU_rate-6e-5 := $(SECOND)

.PHONY: shipped arms small record
.DELETE_ON_ERROR:
.SECONDARY:
shipped: $(OUT)/answers/cold.jsonl.gz $(OUT)/answers/grpo.jsonl.gz
arms: shipped $(patsubst %,$(OUT)/answers/%.jsonl.gz,plain plain-grpo longer)

record:
	test ! -d $(OUT)/answers || $(PYTHON) benchmarks/tiny_report.py $(OUT)/answers --out $(OUT)/summary.json
	$(PYTHON) benchmarks/tiny_record.py $(OUT) --results $(RESULTS) --ship $(SHIP)

$(OUT)/cold/$(DONE):
	$(FIRST) $(R1) train tiny-cold-start --out $(OUT)/cold $(COLD)

$(OUT)/plain/$(DONE):
	$(SECOND) $(R1) train tiny-cold-start --out $(OUT)/plain $(PLAIN) $(COLD)

$(OUT)/dataset/$(DONE):
	$(R1) build-dataset --rows $(ROWS) --numbers 4 --out $(OUT)/dataset

$(OUT)/sweep/%/$(DONE): $(OUT)/cold/$(DONE) $(OUT)/dataset/$(DONE)
	$(GPU_$*) $(R1) train tiny-grpo --dataset $(OUT)/dataset --out $(OUT)/sweep/$* --set base=$(OUT)/cold $(SET_$*) $(GRPO)

ASK_VALIDATION = $(PYTHON) benchmarks/tiny_answers.py --split validation --out $(OUT)/sweep/answers $(ASK)
$(OUT)/sweep/answers/%.jsonl.gz: $(OUT)/sweep/%/$(DONE)
	$(GPU_$*) $(ASK_VALIDATION) $*=$(OUT)/sweep/$*

$(OUT)/sweep/answers/cold.jsonl.gz: $(OUT)/cold/$(DONE)
	$(SECOND) $(ASK_VALIDATION) cold=$(OUT)/cold

$(OUT)/chosen: $(patsubst %,$(OUT)/sweep/answers/%.jsonl.gz,$(SWEEP) cold)
	$(PYTHON) benchmarks/tiny_report.py $(OUT)/sweep/answers --ahas 0 --out $(OUT)/sweep.json --best $@

$(OUT)/grpo/$(DONE): $(OUT)/chosen
	rm -rf $(OUT)/grpo $(OUT)/grpo.writing
	cp -r $(OUT)/sweep/$$(cat $(OUT)/chosen) $(OUT)/grpo.writing
	mv $(OUT)/grpo.writing $(OUT)/grpo

$(OUT)/plain-grpo/$(DONE): $(OUT)/plain/$(DONE) $(OUT)/dataset/$(DONE) $(OUT)/chosen
	$(SECOND) $(R1) train tiny-grpo --dataset $(OUT)/dataset --out $(OUT)/plain-grpo --set base=$(OUT)/plain \
		$(SET_$(shell cat $(OUT)/chosen)) $(GRPO)

# From the same weights with the optimizer begun anew, for as long as GRPO held the GPU; half the first peak rate.
$(OUT)/longer/$(DONE): $(OUT)/grpo/$(DONE)
	minutes=$$($(PYTHON) -c 'import json; print(60 * json.load(open("$(OUT)/grpo/cost.json"))["hours"])'); \
	$(FIRST) $(R1) train tiny-cold-start --out $(OUT)/longer --set cold_start.start=$(OUT)/cold $(COLD) \
		--set cold_start.minutes=$$minutes --set cold_start.check_minutes=3 --set cold_start.learning_rate=1e-3

$(OUT)/answers/plain.jsonl.gz $(OUT)/answers/plain-grpo.jsonl.gz: GPU = $(SECOND)
ifneq ($(filter arms,$(MAKECMDGOALS)),)  # on each GPU all training comes first, then all questions
$(patsubst %,$(OUT)/answers/%.jsonl.gz,cold grpo): | $(OUT)/longer/$(DONE)
$(OUT)/answers/plain.jsonl.gz: | $(OUT)/plain-grpo/$(DONE)
endif
$(OUT)/answers/%.jsonl.gz: $(OUT)/%/$(DONE)
	$(or $(GPU),$(FIRST)) $(PYTHON) benchmarks/tiny_answers.py --out $(OUT)/answers $(ASK) $*=$(OUT)/$*

# Two rewards, two ways of weighing tokens, three temperatures at a size that a CPU can do: 16 groups of 8, 256 tokens.
ANSWER := --set rewards.functions=[equation_reward] --set grpo.reward_weights=null
SMALL_answer := $(ANSWER)
SMALL_answer-mean := --set grpo.loss_type=grpo $(ANSWER)
SMALL_truth :=
SMALL_truth-mean := --set grpo.loss_type=grpo
SMALL_truth-cooler := --set grpo.temperature=0.7
SMALL_truth-hotter := --set grpo.temperature=1.3
SMALL := answer answer-mean truth truth-mean truth-cooler truth-hotter
small: $(patsubst %,$(OUT)/small/answers/%.jsonl.gz,cold $(SMALL))
	$(PYTHON) benchmarks/tiny_report.py $(OUT)/small/answers --ahas 0 --out $(OUT)/small.json

ASK_SMALL = OMP_NUM_THREADS=1 $(PYTHON) benchmarks/tiny_answers.py --split validation --sets greedy --n 500 --room 1024 \
	--batch 64 --out $(OUT)/small/answers $(ASK)
$(OUT)/small/answers/%.jsonl.gz: $(OUT)/small/%/$(DONE)
	$(ASK_SMALL) $*=$(OUT)/small/$*

$(OUT)/small/answers/cold.jsonl.gz: $(OUT)/cold/$(DONE)
	$(ASK_SMALL) cold=$(OUT)/cold

$(OUT)/small/dataset/$(DONE):
	$(R1) build-dataset --rows 3000 --numbers 4 --out $(OUT)/small/dataset

$(OUT)/small/%/$(DONE): $(OUT)/small/dataset/$(DONE) $(OUT)/cold/$(DONE)
	OMP_NUM_THREADS=1 $(R1) train tiny-grpo --dataset $(OUT)/small/dataset --out $(OUT)/small/$* --set base=$(OUT)/cold \
		--set curriculum=null --set grpo.per_device_train_batch_size=64 --set grpo.gradient_accumulation_steps=2 \
		--set grpo.num_generations=8 --set grpo.max_completion_length=256 --set grpo.max_steps=12 --set grpo.save_steps=12 \
		--set grpo.learning_rate=1.2e-4 --set grpo.lr_scheduler_type=constant_with_warmup $(GRPO) $(SMALL_$*)
