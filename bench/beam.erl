%% The BEAM's side of the bench: the same questions, asked of gen_server and supervisor.
%%
%% Reads lines "question number" and answers each with one number: seconds, or bytes, for one piece of
%% work. One round a line, so that the other side can take turns.
-module(beam).
-behaviour(gen_server).
-export([main/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2]).
-export([start_counter/0, start_plain/1, start_fragile/2, start_hooked/0]).

main() ->
    persistent_term:put(schedstat, schedstat()),
    io:format("~s~n", [erlang:system_info(otp_release)]),
    serve().

serve() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            [Question, Number] = string:lexemes(Line, " \n"),
            io:format("~w~n", [float(in_its_own_process(list_to_atom(Question), list_to_integer(Number)))]),
            serve()
    end.

%% A round must not search a mailbox, or collect a heap, that earlier rounds have left.
in_its_own_process(Question, Number) ->
    {_, Monitor} = spawn_monitor(fun() -> exit({answer, answer(Question, Number)}) end),
    receive
        {'DOWN', Monitor, _, _, {answer, Answer}} -> Answer;
        {'DOWN', Monitor, _, _, Reason} -> error(Reason)
    end.

%% --- one message after another ---------------------------------------------------------------

answer(tell, N) ->
    with_counter(fun(Counter) ->
        each(N, fun() ->
            repeat(N, fun() -> gen_server:cast(Counter, add) end),
            gen_server:call(Counter, total)
        end)
    end);
answer(ask, N) ->
    with_counter(fun(Counter) -> each(N, fun() -> asks(N, Counter) end) end);
answer(fan, Asks) ->
    Counters = [element(2, gen_server:start(?MODULE, counter, [])) || _ <- lists:seq(1, 100)],
    Self = self(),
    Askers = [spawn_link(fun() -> asker(Self, lists:nth(1 + I rem 100, Counters), Asks) end)
              || I <- lists:seq(1, 1000)],
    Seconds = each(1000 * Asks, fun() ->
        [Asker ! go || Asker <- Askers],
        [receive {done, Asker} -> ok end || Asker <- Askers]
    end),
    [gen_server:stop(Counter) || Counter <- Counters],
    Seconds;
answer(ping_pong, Hops) ->
    {ok, Ann} = gen_server:start(?MODULE, {player, self(), Hops div 2}, []),
    {ok, Bob} = gen_server:start(?MODULE, {player, self(), Hops div 2}, []),
    gen_server:call(Ann, {meet, Bob}),
    gen_server:call(Bob, {meet, Ann}),
    Seconds = each(Hops + 1, fun() ->
        gen_server:cast(Ann, ball),
        receive game_over -> ok end
    end),
    gen_server:stop(Ann),
    gen_server:stop(Bob),
    Seconds;

%% --- starting, stopping, idling --------------------------------------------------------------

answer(spawn, N) ->
    start_and_stop(N, start_counter);
answer(spawn_hooks, N) ->
    start_and_stop(N, start_hooked);
answer(idle_actor, N) ->
    Supervisor = start_supervisor(one_for_one, []),
    Before = total_memory(),
    Children = [element(2, supervisor:start_child(Supervisor, spec(Id, {start_counter, []})))
                || Id <- lists:seq(1, N)],
    [gen_server:cast(Child, add) || Child <- Children],
    [gen_server:call(Child, total) || Child <- Children],
    Bytes = (total_memory() - Before) / N,
    stop_supervisor(Supervisor),
    Bytes;
answer(crowd_bytes, N) ->
    Supervisor = start_supervisor(simple_one_for_one, [plain_spec()]),
    Before = total_memory(),
    repeat(N, fun() -> {ok, _} = supervisor:start_child(Supervisor, []) end),
    Bytes = (total_memory() - Before) / N,
    stop_supervisor(Supervisor),
    Bytes;
answer(crowd_spawn, N) ->
    Supervisor = start_supervisor(simple_one_for_one, [plain_spec()]),
    Seconds = each(N, fun() ->
        repeat(N, fun() -> {ok, _} = supervisor:start_child(Supervisor, []) end)
    end),
    stop_supervisor(Supervisor),
    Seconds;
answer(children_start, N) ->
    element(1, start_and_stop_children(N));
answer(children_stop, N) ->
    element(2, start_and_stop_children(N));

%% --- crashing ----------------------------------------------------------------------------------

answer(restart, N) ->
    %% A supervisor for each round: OTP looks through all restarts of the period at each restart.
    {Supervisor, [Child]} = fragile_children(1),
    Gaps = [gap(Child) || _ <- lists:seq(1, N)],
    stop_supervisor(Supervisor),
    lists:nth(1 + N div 2, lists:sort(Gaps));
answer(restart_storm, N) ->
    {Supervisor, Children} = fragile_children(N),
    Seconds = each(N, fun() ->
        [Name ! crash || Name <- Children],
        [receive {recovered, Name, _} -> ok end || Name <- Children]
    end),
    stop_supervisor(Supervisor),
    Seconds;

%% --- long queues -------------------------------------------------------------------------------

answer(backlog_drain, N) ->
    with_counter(fun(Counter) ->
        Self = self(),
        sys:suspend(Counter),
        gen_server:cast(Counter, {mark, Self}),
        repeat(N, fun() -> gen_server:cast(Counter, add) end),
        gen_server:cast(Counter, {mark, Self}),
        sys:resume(Counter),
        First = receive {mark, One} -> One end,
        Last = receive {mark, Other} -> Other end,
        (Last - First) / 1.0e9 / N
    end);
answer(backlog_caller, N) ->
    with_counter(fun(Counter) ->
        Self = self(),
        {_, Monitor} = spawn_monitor(fun() ->
            repeat(N, fun() -> self() ! note end),
            %% As many as in the suite of OTP: one collection of the long queue is among them.
            Self ! {took, each(10000, fun() -> asks(10000, Counter) end)}
        end),
        Took = receive {took, Seconds} -> Seconds end,
        receive {'DOWN', Monitor, _, _, _} -> Took end
    end).

%% --- work ----------------------------------------------------------------------------------------

each(N, Work) ->
    erlang:garbage_collect(),
    Began = clock(),
    Work(),
    (clock() - Began) / 1.0e9 / N.

%% The processor time of the scheduler's thread in nanoseconds, as the other side measures its own; where the
%% system does not tell, the time on the wall. A thread of its own reads it, while the scheduler sleeps.
clock() ->
    case persistent_term:get(schedstat) of
        none -> erlang:monotonic_time(nanosecond);
        File ->
            {ok, Text} = prim_file:read_file(File),
            binary_to_integer(hd(binary:split(Text, <<" ">>)))
    end.

schedstat() ->
    Tasks = case file:list_dir("/proc/self/task") of {ok, Names} -> Names; _ -> [] end,
    Folders = ["/proc/self/task/" ++ Task || Task <- Tasks],
    case [Folder || Folder <- Folders, is_scheduler(prim_file:read_file(Folder ++ "/comm"))] of
        [Folder] -> Folder ++ "/schedstat";
        _ -> none
    end.

is_scheduler({ok, <<"1_scheduler\n">>}) -> true;
is_scheduler({ok, <<"erts_sched_1\n">>}) -> true;
is_scheduler(_) -> false.

repeat(0, _) -> ok;
repeat(N, Work) -> Work(), repeat(N - 1, Work).

asks(N, Counter) -> repeat(N, fun() -> gen_server:call(Counter, total) end).

asker(Parent, Counter, Asks) ->
    receive go -> ok end,
    asks(Asks, Counter),
    Parent ! {done, self()}.

with_counter(Work) ->
    {ok, Counter} = gen_server:start(?MODULE, counter, []),
    Result = Work(Counter),
    gen_server:stop(Counter),
    Result.

start_and_stop(N, Start) ->
    Supervisor = start_supervisor(one_for_one, []),
    Spec = spec(actor, {Start, []}),
    Seconds = each(N, fun() ->
        repeat(N, fun() ->
            {ok, _} = supervisor:start_child(Supervisor, Spec),
            ok = supervisor:terminate_child(Supervisor, actor)
        end)
    end),
    stop_supervisor(Supervisor),
    Seconds.

start_and_stop_children(N) ->
    Specs = [spec(Id, {start_counter, []}) || Id <- lists:seq(1, N)],
    Began = clock(),
    Supervisor = start_supervisor(one_for_one, Specs),
    Started = clock(),
    stop_supervisor(Supervisor),
    Stopped = clock(),
    {(Started - Began) / 1.0e9 / N, (Stopped - Started) / 1.0e9 / N}.

fragile_children(N) ->
    Names = [list_to_atom("fragile_" ++ integer_to_list(Number)) || Number <- lists:seq(1, N)],
    Specs = [(spec(Name, {start_fragile, [Name, self()]}))#{restart => permanent} || Name <- Names],
    Supervisor = start_supervisor(one_for_one, Specs),
    [receive {recovered, Name, _} -> ok end || Name <- Names],
    {Supervisor, Names}.

gap(Child) ->
    Child ! crash,
    receive {recovered, Child, At} -> (At - receive {crashed, Child, Crashed} -> Crashed end) / 1.0e9 end.

start_supervisor(Strategy, Specs) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, Strategy, Specs}),
    Supervisor.

stop_supervisor(Supervisor) ->
    unlink(Supervisor),
    Monitor = erlang:monitor(process, Supervisor),
    exit(Supervisor, shutdown),
    receive {'DOWN', Monitor, process, _, _} -> ok end.

spec(Id, {Function, Arguments}) ->
    #{id => Id, start => {?MODULE, Function, Arguments}, restart => temporary}.

plain_spec() -> spec(plain, {start_plain, [0]}).

total_memory() ->
    erlang:garbage_collect(),
    erlang:memory(total).

%% --- the actors ----------------------------------------------------------------------------------

start_counter() -> gen_server:start_link(?MODULE, counter, []).
start_plain(_) -> gen_server:start_link(?MODULE, counter, []).
start_hooked() -> gen_server:start_link(?MODULE, hooked, []).
start_fragile(Name, Parent) -> gen_server:start_link({local, Name}, ?MODULE, {fragile, Name, Parent}, []).

init({supervisor, Strategy, Specs}) ->
    {ok, {#{strategy => Strategy, intensity => 1000000000, period => 1}, Specs}};
init(counter) -> {ok, 0};
init(hooked) -> process_flag(trap_exit, true), {ok, 0};
init({player, Parent, Left}) -> {ok, {Parent, none, Left}};
init({fragile, Name, Parent}) -> {ok, {Name, Parent}, {continue, recovered}}.

handle_continue(recovered, {Name, Parent} = State) ->
    Parent ! {recovered, Name, erlang:monotonic_time(nanosecond)},
    {noreply, State}.

handle_call(total, _, Total) -> {reply, Total, Total};
handle_call({meet, Other}, _, {Parent, none, Left}) -> {reply, ok, {Parent, Other, Left}}.

handle_cast(add, Total) -> {noreply, Total + 1};
handle_cast({mark, To}, Total) ->
    To ! {mark, clock()},
    {noreply, Total};
handle_cast(ball, {Parent, _, 0} = State) -> Parent ! game_over, {noreply, State};
handle_cast(ball, {Parent, Other, Left}) ->
    gen_server:cast(Other, ball),
    {noreply, {Parent, Other, Left - 1}}.

handle_info(crash, {Name, Parent}) ->
    Parent ! {crashed, Name, erlang:monotonic_time(nanosecond)},
    error(oops);
handle_info(_, State) -> {noreply, State}.
