# What the store reads back.
waft_fuzzer(log waft_test_world)
waft_fuzzer(manifest waft_test_world)
