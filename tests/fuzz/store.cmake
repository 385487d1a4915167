# What the store reads back.
waft_fuzzer(log waft_test_world)
waft_fuzzer(manifest waft_test_world)
waft_fuzzer(inbox waft_test_world)
# From batch to line to batch to line.
waft_fuzzer(round_trip waft_test_world)
