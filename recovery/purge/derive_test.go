// SPDX-FileCopyrightText: The Holdfast Authors
// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/recovery/cql"
)

func TestInterfaceIDAndTable(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		major     int
		wantID    string
		wantTable string
	}{
		{"org.astarte-platform.genericsensors.Values", 1, "c238b244-b90f-4c6d-f276-25768bf6abac", "org_astarteplatform_genericsensors_values_v1"},
		{"org.astarte-platform.genericsensors.Values", 0, "497f8825-49fb-0d5d-9af9-1fba2d1134d3", "org_astarteplatform_genericsensors_values_v0"},
		{"org.astarte-platform.genericsensors.AvailableSensors", 0, "d6d81b57-d3b7-cc72-5249-fcc927191dd7", "ahWeGzq_form_genericsensors_availablesensors_v0"},
		{"org.astarte-platform.genericevents.DeviceEvents", 0, "e7c49338-1355-8a2f-c7bc-f13fbbaf58e4", "aKj0Ahx_eplatform_genericevents_deviceevents_v0"},
		{"org.astarte-platform.genericcommands.ServerCommands", 0, "874f5cc2-deb4-0683-967f-e880aaabdb2c", "ag5itCK_tform_genericcommands_servercommands_v0"},
		{"org.astarte-platform.genericsensors.Geolocation", 1, "07deac69-e654-2413-bb5c-231f638b0a5b", "awus9t4_eplatform_genericsensors_geolocation_v1"},
		{"com.test.Sensors", 1, "a8d09f25-0105-c406-4cd2-36e98180e839", "com_test_sensors_v1"},
		{"com.test.sensors", 1, "7869413e-4efc-1604-483c-482579351d0c", "com_test_sensors_v1"},
		{"com.foo", 2, "6b39b686-2642-fb58-6a67-de387f6d914e", "com_foo_v2"},
		{"test", 0, "66316b31-8dd0-a7b6-0d7f-183a541ef8ef", "test_v0"},
		{"com.example.very.long.interface.name.for.ObjectTable", 12, "d6ff8a97-5060-aab8-7096-6dcb8e6e418e", "aH4F8Io_long_interface_name_for_objecttable_v12"},
		{"com.a-b.X", 2147483647, "2cda019d-0dde-9294-cb91-17b34595407d", "com_ab_x_v2147483647"},
		{"com.example.averyveryverylonginterfacename.Number2", 1, "", "ao_N7ar_eryveryverylonginterfacename_number2_v1"},
		{"astarte.is.cool", 10, "d1f51a5a-b16f-ec89-8635-ed6186f715fe", "astarte_is_cool_v10"},
		{"com.ispirata.Hemera.DeviceLog", 1, "", "com_ispirata_hemera_devicelog_v1"},
		{strings.Repeat("a", 42), 1, "", "aOR81cl_" + strings.Repeat("a", 36) + "_v1"},
	}
	for _, tc := range cases {
		t.Run(Title(tc.name, tc.major), func(t *testing.T) {
			t.Parallel()
			if got := InterfaceID(tc.name, tc.major).String(); tc.wantID != "" && got != tc.wantID {
				t.Errorf("id = %s, want %s", got, tc.wantID)
			}
			if got := StorageName(tc.name, tc.major); got != tc.wantTable {
				t.Errorf("storage = %s, want %s", got, tc.wantTable)
			}
			if got := TableName(tc.name, tc.major); got != strings.ToLower(tc.wantTable) {
				t.Errorf("table = %s, want %s", got, strings.ToLower(tc.wantTable))
			}
		})
	}
}

func TestEndpointAndColumn(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		major    int
		endpoint string
		want     string
	}{
		{"com.foo", 1, "/test/foo", "2fa301e3-8be7-dec9-2939-1852ea4c3d04"},
		{"org.astarte-platform.genericsensors.Values", 1, "/%{sensor_id}/value", "33751412-3e77-ad1f-ad57-280cc9fad581"},
		{"com.test.Sensors", 1, "", "708b2cff-3865-1038-8854-ff322f225a30"},
		{"com.foo", 10, "/a/%{something}/foo", "207730dd-bdae-b488-f284-e80f2eb81b58"},
	}
	for _, tc := range cases {
		if got := EndpointID(tc.name, tc.major, tc.endpoint).String(); got != tc.want {
			t.Errorf("EndpointID(%s, %d, %q) = %s, want %s", tc.name, tc.major, tc.endpoint, got, tc.want)
		}
	}
	columns := map[string]string{
		"/%{x}/Temp": "v_temp",
		"/this_is_a_quite_long_endpoint_name_that_is44": "v_1XOzAu_s_a_quite_long_endpoint_name_that_is44",
	}
	for endpoint, want := range columns {
		if got := ColumnName(endpoint); got != want {
			t.Errorf("ColumnName(%q) = %s, want %s", endpoint, got, want)
		}
	}
}

func TestKeyspace(t *testing.T) {
	t.Parallel()
	cases := []struct{ realm, instance, want string }{
		{"example", "atestinstance", "atestinstanceexample"},
		{"averyveryverylongrealmnamejustforthistest", "atestinstance", "yxrlc3rpbnn0yw5jzwf2zxj5dmvyexzlcnlsb25ncmvhbg1u"},
		{"test", "", "test"},
		{"test", "astarteprod", "astarteprodtest"},
		{"test", "My_Inst-1", "myinst1test"},
		{strings.Repeat("a", 47), "", strings.Repeat("a", 47)},
		{strings.Repeat("a", 48), "", strings.Repeat("ywfh", 12)},
		{strings.Repeat("r", 30), strings.Repeat("i", 18), strings.Repeat("awlp", 6) + strings.Repeat("cnjy", 6)},
	}
	for _, tc := range cases {
		if got := Keyspace(tc.realm, tc.instance); got != tc.want {
			t.Errorf("Keyspace(%q, %q) = %s, want %s", tc.realm, tc.instance, got, tc.want)
		}
	}
	// Before Astarte 1.2 the keyspace was the realm, whatever its length.
	if got := Keyspaces(strings.Repeat("a", 48), ""); len(got) != 2 || got[1] != strings.Repeat("a", 48) {
		t.Errorf("Keyspaces of a long realm = %v, want the hashed and the plain one", got)
	}
	if got := Keyspaces("test", ""); len(got) != 1 {
		t.Errorf("Keyspaces(test) = %v, want one", got)
	}
}

func TestDeviceAndTriggerIDs(t *testing.T) {
	t.Parallel()
	device := mustUUID(t, "41c1c072-d416-4686-ba23-673fe4ad926f")
	if got := DeviceID(device); got != "QcHActQWRoa6I2c_5K2Sbw" {
		t.Errorf("DeviceID = %s", got)
	}
	iface := InterfaceID("org.astarte-platform.genericsensors.Values", 1)
	if got := DeviceInterfaceID(iface, device).String(); got != "960fd7c5-5a31-5a60-9e39-3bf7e15a62ab" {
		t.Errorf("DeviceInterfaceID = %s", got)
	}
	if got := GroupInterfaceID(iface, "mygroup").String(); got != "c9d53ed9-c57a-56f5-8800-3ec9777af62c" {
		t.Errorf("GroupInterfaceID = %s", got)
	}
}

func mustUUID(t *testing.T, text string) cql.UUID {
	t.Helper()
	id, err := cql.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func FuzzIdentifiers(f *testing.F) {
	f.Add("com.test.Sensors", 1, "/%{a}/b", "realm", "inst")
	f.Fuzz(func(t *testing.T, name string, major int, endpoint, realm, instance string) {
		if CheckInterface(name) == nil && major >= 0 && major <= maxMajor {
			if table := TableName(name, major); cql.CheckIdentifier("table", table) != nil {
				t.Errorf("TableName(%q, %d) = %q is no plain name", name, major, table)
			}
		}
		if CheckRealm(realm) == nil && CheckInstanceID(instance) == nil {
			for _, k := range Keyspaces(realm, instance) {
				if cql.CheckIdentifier("keyspace", k) != nil && k[0] >= 'a' && k[0] <= 'z' {
					t.Errorf("Keyspace(%q, %q) = %q is no plain name", realm, instance, k)
				}
			}
		}
		_ = ColumnName(endpoint)
	})
}
