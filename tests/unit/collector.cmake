# The daemon's modules: collector/ without store/.
foreach(module assembler connection)
  waft_unit_test(collector_${module} waft_collector)
endforeach()
