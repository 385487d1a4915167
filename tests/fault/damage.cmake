waft_fault_program(damage waft_test_world PkgConfig::CMOCKA)
waft_fault(damage
  TAKES 15
  ABOUT "every truncation and flipped bit of log, manifest, part, sealed part and index"
  COMMAND $<TARGET_FILE:fault_damage>
  DEPENDS fault_damage)
