# The daemon's modules: collector/ without store/.
foreach(module assembler assembly connection export quotas settings)
  waft_unit_test(collector_${module} waft_collector waft_test_support)
endforeach()
waft_unit_test(collector_pipeline waft_collector waft_test_world LABELS threads TIMEOUT 300)
waft_unit_test(collector_log_line waft_collector)
waft_unit_test(forward_route waft_collector)
waft_unit_test(collector_gateway waft_collector waft_test_names)
waft_unit_test(collector_salvage waft_collector waft_test_region)
